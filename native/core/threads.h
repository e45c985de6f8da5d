// One pool of worker threads for every kernel.
#pragma once

#include <cstdint>

namespace rl {

void pool_parallel_for(int64_t chunks, void (*fn)(void*, int64_t), void* ctx);
int get_num_threads();
void set_num_threads(int n);
void reset_pool_after_fork();

}  // namespace rl
