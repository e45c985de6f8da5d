// Passes that move relu: see passes.h.
#include <algorithm>
#include <cstring>
#include <memory>

#include "passes.h"

namespace rl {
namespace {

bool is(const Step& s, const char* name) { return !std::strcmp(s.def->name, name); }

bool same_array(const Array& a, const Array& b) { return a.storage == b.storage && (!a.storage || same_view(a, b)); }

// Steps that touch a storage, in order.
std::vector<size_t> touching(const Draft& d, const Storage* s) {
  std::vector<size_t> out;
  for (size_t i = 0; i < d.steps.size(); ++i)
    if (d.steps[i].reads(s) || d.steps[i].writes(s)) out.push_back(i);
  return out;
}

// The relu that step i can take over, which is all that its result is for; 0 if there is none.
size_t relu_after(const Draft& d, size_t i) {
  const Array& y = d.steps[i].arrays[0];
  const StorageUse& made = d.uses.at(y.storage);
  const std::vector<size_t> users = touching(d, y.storage);
  if (!y.contiguous() || users.size() < 2 || users[0] != i || made.part == Part::external || made.part == Part::argument) return 0;
  const Step& relu = d.steps[users[1]];
  if (!is(relu, "relu") || !same_array(relu.arrays[1], y)) return 0;
  const Array& out = relu.arrays[0];
  if (out.storage == y.storage) return same_view(out, y) ? users[1] : 0;
  const StorageUse& u = d.uses.at(out.storage);
  if (users.size() != 2 || outlives(made) || u.writers != 1 || u.first != static_cast<int>(users[1])) return 0;
  if (u.part == Part::external || u.part == Part::argument) return 0;
  return out.contiguous() && out.dtype == y.dtype && out.numel == y.numel ? users[1] : 0;
}

// Its numbers: stride, padding and dilation, groups, the size of the result, and none for relu.
bool plain_convolution(const Step& s) {
  if (!is(s, "conv") && !is(s, "conv_input")) return false;
  return s.numbers.size() == 4 * static_cast<size_t>(s.arrays[1].ndim - 2) + 1;
}

bool writes_between(const Draft& d, size_t after, size_t before, const Storage* s) {
  for (size_t k = after + 1; k < before; ++k)
    if (d.steps[k].writes(s)) return true;
  return false;
}

// `like`, row-major, in memory of its own that is a new temporary.
Array temporary_like(Draft& d, const Array& like) {
  Array a = like;
  a.drop();
  auto fresh = std::make_unique<Storage>();
  fresh->nbytes = static_cast<size_t>(a.numel * item_size(a.dtype));
  a.storage = fresh.release();
  a.offset = 0;
  a.set_contiguous();
  d.use(a.storage).part = Part::temporary;
  return a;
}

}  // namespace

// ---- relu before max pooling ------------------------------------------------------------------------------------------------
//
//     r = relu(x), (p, i) = max_pool(r)                  becomes   (m, i) = max_pool(x), p = relu(m)
//     s = plane_scatter(dp, i), dx = relu_backward(s, r)           dm = relu_backward(dp, p), dx = plane_scatter(dm, i)
//
// The largest of some numbers stays the largest, so that p is the same; where it is not positive, i may be another place, but
// what goes there is zero. relu then reads and writes a quarter of the elements, or less. relu of a batch norm is left to it.

namespace {

// The steps of one such place; scatter and back are 0 without a way back.
struct Pooled {
  size_t relu, pool, scatter = 0, back = 0;
};

bool before_pooling(const Draft& d, size_t at, Pooled* found) {
  const Step& relu = d.steps[at];
  if (!is(relu, "relu") || relu.arrays.size() != 2) return false;
  const Array &r = relu.arrays[0], &x = relu.arrays[1];
  const bool in_place = r.storage == x.storage;
  if (outlives(d.uses.at(r.storage)) || r.dtype != x.dtype || (in_place && !same_view(r, x)) || !x.contiguous()) return false;
  std::vector<size_t> users;
  for (size_t k : touching(d, r.storage)) {
    if (k > at) users.push_back(k);
    else if (k < at && !in_place) return false;
  }
  for (size_t k = at; k-- > 0;) {
    if (!d.steps[k].writes(x.storage)) continue;
    if (is(d.steps[k], "batch_norm")) return false;
    break;
  }
  if (users.empty() || users.size() > 2) return false;
  const size_t j = users[0];
  const Step& pool = d.steps[j];
  if (!is(pool, "max_pool") && !is(pool, "adaptive_max_pool")) return false;
  if (!same_array(pool.arrays[2], r) || pool.writes(r.storage)) return false;
  if (writes_between(d, at, j, x.storage)) return false;
  const Array &p = pool.arrays[0], &places = pool.arrays[1];
  const Part part = d.uses.at(p.storage).part;
  if (part == Part::external || part == Part::argument || d.uses.at(p.storage).first != static_cast<int>(j)) return false;
  if (!p.contiguous()) return false;
  if (outlives(d.uses.at(places.storage))) return false;
  const std::vector<size_t> readers = touching(d, places.storage);
  *found = {at, j};
  if (users.size() == 1) return readers.size() == 1;
  if (readers.size() != 2) return false;
  const size_t s = readers[1], k = users[1];
  const Step &scatter = d.steps[s], &back = d.steps[k];
  if (!is(scatter, "plane_scatter") || !is(back, "relu_backward") || s >= k || !same_array(back.arrays[2], r)) return false;
  const Array &sum = scatter.arrays[0], &g = scatter.arrays[1], &dx = back.arrays[0];
  // Its numbers: rank, size, whether to assign rather than add, windows.
  if (scatter.numbers[static_cast<size_t>(1 + scatter.numbers[0].i)].i || !same_array(scatter.arrays[2], places) || !same_array(back.arrays[1], sum)) return false;
  if (!same_shape(g, p) || g.dtype != p.dtype || !g.contiguous()) return false;
  if (outlives(d.uses.at(sum.storage)) || touching(d, sum.storage).size() != 2) return false;
  const StorageUse& made = d.uses.at(dx.storage);
  if (made.part != Part::temporary || made.first != static_cast<int>(k) || !dx.contiguous() || !same_shape(dx, sum)) return false;
  if (writes_between(d, j, s, p.storage)) return false;
  *found = {at, j, s, k};
  return true;
}

void swap_relu(Draft& d, const Pooled& q) {
  const Array x = d.steps[q.relu].arrays[1], p = d.steps[q.pool].arrays[0];
  const Step relu = d.steps[q.relu];
  Step& pool = d.steps[q.pool];
  pool.arrays[0] = temporary_like(d, p);
  pool.arrays[2] = x;
  const Step rectify{relu.def, 1, {p, pool.arrays[0]}, relu.numbers};
  Step mask{nullptr, 1, {}, {}};
  if (q.back) {
    Step &scatter = d.steps[q.scatter], &back = d.steps[q.back];
    mask = {back.def, 1, {temporary_like(d, p), scatter.arrays[1], p}, back.numbers};
    scatter.arrays[0] = back.arrays[0];
    scatter.arrays[1] = mask.arrays[0];
  }
  std::vector<Step> next;
  for (size_t i = 0; i < d.steps.size(); ++i) {
    if (q.back && i == q.scatter) next.push_back(mask);
    if (i != q.relu && (!q.back || i != q.back)) next.push_back(std::move(d.steps[i]));
    if (i == q.pool) next.push_back(rectify);
  }
  d.steps = std::move(next);
  d.count();
}

}  // namespace

void relu_after_pooling(Draft& d) {
  for (size_t i = 0; i < d.steps.size(); ++i) {
    Pooled found;
    if (before_pooling(d, i, &found)) swap_relu(d, found);
  }
}

// ---- relu after linear, convolution and batch norm ---------------------------------------------------------------------------
//
// They write relu of their result at once. batch_norm's backward kernel works out again where relu was zero, so that an
// activation is read and written half as often.

void fuse_relu(Draft& d) {
  std::vector<bool> dropped(d.steps.size(), false);
  for (size_t i = 0; i < d.steps.size(); ++i) {
    Step& norm = d.steps[i];
    const bool batch_norm = is(norm, "batch_norm") && norm.numbers.size() == 1;
    // A float16 may be zero where the number that it was rounded from is not, so relu has to see it.
    if (norm.arrays[0].dtype == DType::f16) continue;
    if (!batch_norm && !(is(norm, "linear") && norm.numbers.empty()) && !plain_convolution(norm)) continue;
    const size_t at = relu_after(d, i);
    if (at == 0) continue;
    const Array y = norm.arrays[0], out = d.steps[at].arrays[0];
    norm.arrays[0] = out;
    norm.numbers.push_back({1, 1.0, false});
    dropped[at] = true;
    // The way back: relu_backward(g, out), read by batch_norm_backward only.
    for (size_t j = at + 1; batch_norm && j < d.steps.size(); ++j) {
      Step& back = d.steps[j];
      if (!is(back, "relu_backward") || !same_array(back.arrays[2], out)) continue;
      const Array masked = back.arrays[0], g = back.arrays[1];
      const std::vector<size_t> readers = touching(d, masked.storage);
      if (outlives(d.uses.at(masked.storage)) || readers.size() != 2 || !g.contiguous() || !same_shape(g, y)) continue;
      Step& normed = d.steps[readers[1]];
      bool match = is(normed, "batch_norm_backward") && normed.numbers.size() == 1 && same_array(normed.arrays[3], masked) &&
                   same_array(normed.arrays[4], norm.arrays[4]) && same_array(normed.arrays[5], norm.arrays[5]) &&
                   same_array(normed.arrays[6], norm.arrays[1]) && same_array(normed.arrays[7], norm.arrays[2]);
      for (size_t k = j + 1; match && k < readers[1]; ++k) match = !d.steps[k].writes(g.storage);
      // What tells where relu was zero must not have been written in between.
      for (size_t k = at + 1; match && k < readers[1]; ++k)
        for (const Storage* s : {out.storage, norm.arrays[1].storage, norm.arrays[2].storage, norm.arrays[4].storage,
                                 norm.arrays[5].storage, norm.arrays[6].storage})
          match &= !s || !d.steps[k].writes(s);
      if (!match) continue;
      normed.arrays[3] = g;
      normed.arrays.push_back(norm.arrays[6]);
      normed.numbers.push_back({1, 1.0, false});
      dropped[j] = true;
    }
  }
  std::vector<Step> kept;
  for (size_t i = 0; i < d.steps.size(); ++i)
    if (!dropped[i]) kept.push_back(std::move(d.steps[i]));
  d.steps = std::move(kept);
  d.count();
}

}  // namespace rl
