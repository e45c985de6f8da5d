// Largest and smallest elements over dimensions, alone or with their positions. A NaN wins.
#include "extremes.h"
#include "reduce.h"

namespace rl {
namespace {

// Sixteen rows at a time, or fewer.
template <class T, bool MAX>
void extremes_of_rows(const T* p, int64_t rows, int64_t n, T* out) {
  typedef typename Sixteen<T>::vec V;
  const T rest = MAX ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
  auto fold = [](V& a, const V& b) { a = (MAX ? b > a : b < a) | (b != b) ? b : a; };
  V best[kLanes], v;
  auto row = [&](const T* s, V& a) {
    a = rest - V{};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      Sixteen<T>::load(v, s + i);
      fold(a, v);
    }
    if (i < n) {
      Sixteen<T>::load(v, s + i, n - i, rest);
      fold(a, v);
    }
  };
  row(p, best[0]);
  for (int64_t r = 1; r < kLanes; ++r) {
    if (r < rows) row(p + r * n, best[r]);
    else best[r] = best[0];
  }
  Sixteen<T>::fold_rows(best, fold);
  Sixteen<T>::store(out, best[0], rows);
}

template <class T>
constexpr T lowest() {
  if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
  else return std::numeric_limits<T>::lowest();
}
template <class T>
constexpr T highest() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
  else return std::numeric_limits<T>::max();
}

template <bool MAX>
void extremes_run(const Call& c) {
  const Array &out = *c.out[0], &a = *c.in[0];
  all_types(a.dtype, MAX ? "amax" : "amin", [&](auto z) {
    using T = decltype(z);
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {
      T* o = out.ptr<T>();
      if constexpr (std::is_floating_point_v<T>)
        if (f.inner == 1 && f.outer > 1) {
          const int64_t per = (kWork / std::max<int64_t>(1, f.reduced) / kLanes + 1) * kLanes;
          parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
            const int64_t end = std::min(f.outer, (k + 1) * per);
            for (int64_t r = k * per; r < end; r += kLanes)
              extremes_of_rows<T, MAX>(p + r * f.reduced, std::min<int64_t>(kLanes, end - r), f.reduced, o + r);
          });
          return;
        }
      fold_form<true, T, T>(p, f, o, MAX ? lowest<T>() : highest<T>(),
                            [](T acc, T x) -> T { return ((MAX ? x > acc : x < acc) || x != x) ? x : acc; });
    });
  });
}
void amax_run(const Call& c) { extremes_run<true>(c); }
void amin_run(const Call& c) { extremes_run<false>(c); }
RL_KERNEL(amax, 1, reduce_shape, amax_run)
RL_KERNEL(amin, 1, reduce_shape, amin_run)

// ---- extrema with their positions --------------------------------------------------------------------------------

// Values and first positions; NaN wins. mask has one bit, or all (argmax of the flattened array).
template <class T, bool MAX>
inline bool ahead(T x, T best) {
  return MAX ? x > best : x < best;
}

// A strip of neighbouring columns, carried along. I: an integer of T's size, so that values and places share vectors.
constexpr int64_t kExtremeStrip = 64;

template <class T, class I, bool MAX>
void extreme_strip(const T* s, int64_t n, int64_t pitch, int64_t w, T* values, int64_t* where) {
  I place[kExtremeStrip] = {};
  T best[kExtremeStrip];
  for (int64_t j = 0; j < w; ++j) best[j] = s[j];
  for (int64_t r = 1; r < n; ++r)
    for (int64_t j = 0; j < w; ++j) {
      const T x = s[r * pitch + j];
      const bool take = (ahead<T, MAX>(x, best[j]) || x != x) && best[j] == best[j];
      best[j] = take ? x : best[j];
      place[j] = take ? static_cast<I>(r) : place[j];
    }
  for (int64_t j = 0; j < w; ++j) {
    values[j] = best[j];
    where[j] = static_cast<int64_t>(place[j]);
  }
}

template <class T, bool MAX>
void extreme_line(const T* s, int64_t n, T* value, int64_t* where) {
  int64_t at = 0;
  for (int64_t r = 1; r < n; ++r)
    if (ahead<T, MAX>(s[r], s[at]) || (s[r] != s[r] && s[at] == s[at])) at = r;
  *value = s[at];
  *where = at;
}

template <class T, class I, bool MAX>
void extreme_form(const T* p, const Form& f, T* values, int64_t* where) {
  if (f.inner == 1) {
    if constexpr (std::is_floating_point_v<T> && sizeof(I) == sizeof(T))
      return extremes_of<T, MAX, false>(p, f.outer, f.reduced, values, where);
    const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, f.reduced));
    parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
      for (int64_t o = k * per; o < std::min(f.outer, (k + 1) * per); ++o)
        extreme_line<T, MAX>(p + o * f.reduced, f.reduced, values + o, where + o);
    });
    return;
  }
  for_strips<kExtremeStrip>(f, [&](int64_t o, int64_t j0, int64_t w) {
    const int64_t to = o * f.inner + j0;
    extreme_strip<T, I, MAX>(p + o * f.reduced * f.inner + j0, f.reduced, f.inner, w, values + to, where + to);
  });
}

template <bool MAX>
void extreme_run(const Call& c) {
  const Array& a = *c.in[0];
  all_types(a.dtype, MAX ? "max_values_cpu" : "min_values_cpu", [&](auto z) {
    using T = decltype(z);
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {
      T* values = c.out[0]->ptr<T>();
      int64_t* where = c.out[1]->ptr<int64_t>();
      if (sizeof(T) == 8 || f.reduced > std::numeric_limits<int32_t>::max()) extreme_form<T, int64_t, MAX>(p, f, values, where);
      else extreme_form<T, int32_t, MAX>(p, f, values, where);
    });
  });
}
void max_dim_run(const Call& c) { extreme_run<true>(c); }
void min_dim_run(const Call& c) { extreme_run<false>(c); }
RL_KERNEL(max_dim, 2, reduce_shape_pair, max_dim_run)
RL_KERNEL(min_dim, 2, reduce_shape_pair, min_dim_run)

}  // namespace
}  // namespace rl
