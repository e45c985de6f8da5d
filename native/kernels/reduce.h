// The geometry of reductions over one or more dimensions.
//
// Every reduction is brought to the form (outer, reduced, inner): if inner is 1 a row is reduced, else
// whole rows of `inner` elements are combined. Inputs in another order are gathered first. The numbers say
// which dimensions go: a bit mask, and whether they stay as size 1.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "rows.h"

namespace rl {
namespace {

struct Form {
  int64_t outer = 1, reduced = 1, inner = 1;
};

// The smallest and largest dimension that is reduced must enclose only reduced (or size-1) dimensions for a
// contiguous array to have the form; otherwise the input is permuted into scratch.
inline bool direct_form(const Array& a, uint64_t mask, Form* f) {
  if (!a.contiguous()) return false;
  int first = -1, last = -1;
  for (int d = 0; d < a.ndim; ++d) {
    if (!(mask >> d & 1) || a.shape[d] == 1) continue;
    if (first < 0) first = d;
    last = d;
  }
  *f = Form{};
  if (first < 0) {
    f->outer = a.numel;
    return true;
  }
  for (int d = 0; d < a.ndim; ++d) {
    if (d >= first && d <= last) {
      if (!(mask >> d & 1) && a.shape[d] != 1) return false;
      f->reduced *= a.shape[d];
    } else if (d < first) {
      f->outer *= a.shape[d];
    } else {
      f->inner *= a.shape[d];
    }
  }
  return true;
}

template <class T>
void gather_permuted(const Array& a, const int* order, T* out) {
  const int n = a.ndim;
  int64_t index[kMaxDims] = {};
  int64_t at = 0;
  const T* p = a.ptr<T>();
  if (n == 0) {
    *out = *p;
    return;
  }
  const int last = order[n - 1];
  const int64_t len = a.shape[last], step = a.strides[last];
  for (int64_t done = 0; done < a.numel; done += len) {
    for (int64_t i = 0; i < len; ++i) out[done + i] = p[at + i * step];
    for (int k = n - 2; k >= 0; --k) {
      int d = order[k];
      at += a.strides[d];
      if (++index[k] < a.shape[d]) break;
      at -= a.shape[d] * a.strides[d];
      index[k] = 0;
    }
  }
}

// Calls fn(pointer, form) with the input in (outer, reduced, inner) order.
template <class T, class F>
void with_form(const Array& a, uint64_t mask, const F& fn) {
  Form f;
  if (direct_form(a, mask, &f)) {
    fn(a.ptr<T>(), f);
    return;
  }
  int order[kMaxDims], n = 0;
  f = Form{};
  for (int d = 0; d < a.ndim; ++d)
    if (!(mask >> d & 1)) {
      order[n++] = d;
      f.outer *= a.shape[d];
    }
  for (int d = 0; d < a.ndim; ++d)
    if (mask >> d & 1) {
      order[n++] = d;
      f.reduced *= a.shape[d];
    }
  Scratch<T> t(a.numel);
  if (a.numel) gather_permuted<T>(a, order, t);
  fn(static_cast<const T*>(t.p), f);
}

inline void reduce_shape(const Call& c, Meta* m) {
  const Array& a = *c.in[0];
  uint64_t mask = static_cast<uint64_t>(c.inum(0));
  bool keep = c.inum(1);
  m->dtype = a.dtype;
  m->ndim = 0;
  for (int d = 0; d < a.ndim; ++d) {
    if (mask >> d & 1) {
      if (keep) m->shape[m->ndim++] = 1;
    } else {
      m->shape[m->ndim++] = a.shape[d];
    }
  }
}

inline void reduce_shape_bool(const Call& c, Meta* m) {
  reduce_shape(c, m);
  m->dtype = DType::b8;
}

inline void reduce_shape_index(const Call& c, Meta* m) {
  reduce_shape(c, m);
  m->dtype = DType::i64;
}

inline void reduce_shape_pair(const Call& c, Meta* m) {
  reduce_shape(c, m);
  reduce_shape_index(c, m + 1);
}

constexpr int64_t kWork = 32768;              // elements per parallel chunk

// fn(o, j0, w) for strips of w neighbouring columns, up to STRIP, from column j0 of block o on.
template <int64_t STRIP, class F>
void for_strips(const Form& f, const F& fn) {
  const int64_t strips = (f.inner + STRIP - 1) / STRIP, jobs = f.outer * strips;
  const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, f.reduced * std::min(f.inner, STRIP)));
  parallel_for((jobs + per - 1) / per, [&](int64_t k) {
    for (int64_t job = k * per; job < std::min(jobs, (k + 1) * per); ++job) {
      const int64_t j0 = job % strips * STRIP;
      fn(job / strips, j0, std::min(STRIP, f.inner - j0));
    }
  });
}

// ---- folds ----------------------------------------------------------------------------------------------------------

// One row in lanes, four vectors at a time: a chain of comparisons is as long as their latency.
template <class T, class Fold>
T fold_row(const T* p, int64_t n, T start, const Fold& fold) {
  constexpr int64_t kWide = 4 * kLanes;
  T lane[kWide];
  std::fill(lane, lane + kWide, start);
  int64_t i = 0;
  for (; i + kWide <= n; i += kWide)
    for (int64_t k = 0; k < kWide; ++k) lane[k] = fold(lane[k], p[i + k]);
  for (int64_t k = 0; i < n; ++i, ++k) lane[k] = fold(lane[k], p[i]);
  for (int64_t s = kWide / 2; s; s >>= 1)
    for (int64_t k = 0; k < s; ++k) lane[k] = fold(lane[k], lane[k + s]);
  return lane[0];
}

// ANY_ORDER: rows may be folded in lanes (extrema, products).
template <bool ANY_ORDER, class T, class R, class Fold>
void fold_form(const T* p, const Form& f, R* out, R start, const Fold& fold) {
  const int64_t span = f.reduced * f.inner;
  const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, span));
  parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
    for (int64_t o = k * per; o < std::min(f.outer, (k + 1) * per); ++o) {
      const T* base = p + o * span;
      if (f.inner == 1) {
        if constexpr (ANY_ORDER) {
          out[o] = fold_row(base, f.reduced, start, fold);
        } else {
          R acc = start;
          for (int64_t r = 0; r < f.reduced; ++r) acc = fold(acc, base[r]);
          out[o] = acc;
        }
        continue;
      }
      R* row = out + o * f.inner;
      for (int64_t j = 0; j < f.inner; ++j) row[j] = start;
      for (int64_t r = 0; r < f.reduced; ++r)
        for (int64_t j = 0; j < f.inner; ++j) row[j] = fold(row[j], base[r * f.inner + j]);
    }
  });
}

}  // namespace
}  // namespace rl
