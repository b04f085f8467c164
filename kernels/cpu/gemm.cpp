#include "cpu/gemm.h"

#include "cpu/gemm_tiles.h"

#include <algorithm>

namespace fb::cpu {

namespace {

// Sizes of blocks, for a second cache of 512 KB or more: the panels of A and B of a part stay in it, and are fetched
// into the first one ahead of their use. Longer blocks read and write C less often.
constexpr int64_t longest = 512;  // steps of k in a block
constexpr int64_t part_row_panels = 6;
constexpr int64_t part_column_panels = 8;
constexpr int64_t shared_bytes = 1 << 24;  // of packed panels that all threads use at a time
constexpr int64_t shared_side = 4096;      // rows, or columns, packed at a time
constexpr int64_t few_numbers = 16384;      // of A: each part may as well read, or pack, all of it
constexpr double small_flops = 1.5e6;      // less is done by one thread
constexpr double part_flops = 6e6;         // what a part aims at: some 60 us

}  // namespace

template <class T> Gemm<T>::Gemm(int64_t m, int64_t n, int64_t k, int64_t c_row) : m(m), n(n), k(k), c_row(c_row) {
    if (k == 0) return;
    block = up(up(k, up(k, longest)), 16) * 16;
    blocks = up(k, block);
    if (m * n <= 8192) groups = std::clamp<int64_t>(blocks / 4, 1, 16);
}

template <class T> double Gemm<T>::cost() const {
    // Multiply-adds in a nanosecond, where tiles are full.
    const double rate = vector_bytes == 64 ? 3.4 * lanes<T> : vector_bytes == 32 ? 6.4 * lanes<T> : 3.2 * lanes<T>;
    double rows = static_cast<double>(up(m, tile_rows) * tile_rows + 2 * m) / 3;
    double columns = static_cast<double>(up(n, lanes<T>) * lanes<T>);
    return 40 + rows * columns * static_cast<double>(k) / rate + static_cast<double>(m * k + k * n + m * n) * 0.1;
}

template <class T> int64_t Gemm<T>::panels_size() const {
    return blocks * up(n, tile_columns<T>) * b_panel<T>(block);
}

template <class T> void Gemm<T>::pack(Work& work, Matrix<T> b, T* panels) const {
    const int64_t columns = up(n, tile_columns<T>), jobs = up(columns, 8), room = columns * b_panel<T>(block);
    auto job = [&](int64_t number) {
        const int64_t p = number / jobs, first = number % jobs * 8;
        pack_b(b.from(p * block, 0), n, first, std::min(first + 8, columns), std::min(block, k - p * block),
               panels + p * room + first * b_panel<T>(block), b_panel<T>(block));
    };
    if (n * k < 65536)
        for (int64_t number = 0; number < blocks * jobs; number++) job(number);
    else
        work.parallel(blocks * jobs, job);
}

// Rows and columns of C for the steps of `span`, by one thread, with panels of its own.
template <class T>
void Gemm<T>::part(Matrix<T> a, Matrix<T> b, T* c, int64_t step, Span row_span, Span column_span, Span span,
                   Beside<T> beside) const {
    const int64_t height = row_span.end - row_span.begin, width = column_span.end - column_span.begin;
    a = a.from(row_span.begin, 0);
    if (!beside.panels) b = b.from(0, column_span.begin);
    c += row_span.begin * step + column_span.begin;
    if (beside.from) beside.from += row_span.begin * beside.from_row + column_span.begin;
    const int64_t all_columns = up(n, tile_columns<T>), first_column = column_span.begin / tile_columns<T>;
    Cut rows = row_panels(height);
    const int64_t columns = up(width, tile_columns<T>);
    const int64_t some_rows = std::min(rows.count, part_row_panels);
    const int64_t some_columns = std::min(columns, part_column_panels * 4);

    // Panels that are read once or twice are read where they lie, unless rows 4 KB apart would fight for one place in
    // the cache.
    const bool fights = a.column == 1 && a.row % static_cast<int64_t>(4096 / sizeof(T)) == 0 && height > 8;
    const bool a_lies = (a.column == 1 || a.row == 1) && !fights && (columns <= 2 || height * k <= few_numbers);
    const bool b_lies = !beside.panels && b.column == 1 && (rows.count <= 2 || width * k <= 4096);
    const Lie lie = !a_lies || a.row == 1 ? Lie::rows_adjacent : Lie::steps_adjacent;
    Scratch a_scratch(a_lies ? 0 : some_rows * a_panel<T>(block) * sizeof(T));
    Scratch b_scratch((beside.panels ? 0 : b_lies ? 1 : some_columns) * b_panel<T>(block) * sizeof(T));
    Scratch kept(span.end - span.begin > 1 ? rows.count * columns * tile_size<T> * sizeof(T) : 0);
    T *a_packed = a_scratch.template as<T>(), *b_packed = b_scratch.template as<T>();

    for (int64_t p = span.begin; p < span.end; p++) {
        const int64_t k0 = p * block, steps = std::min(block, k - k0);
        for (int64_t j0 = 0; j0 < columns; j0 += some_columns) {
            const int64_t j1 = std::min(j0 + some_columns, columns);
            if (!b_lies && !beside.panels)
                pack_b(b.from(k0, 0), width, j0, j1, steps, b_packed, b_panel<T>(block));
            else if (b_lies && j1 == columns && width % lanes<T>)
                pack_b(b.from(k0, 0), width, columns - 1, columns, steps, b_packed, b_panel<T>(block));
            auto right = [&](int64_t j) -> Panel<T> {
                int64_t w = std::min<int64_t>(width - j * tile_columns<T>, tile_columns<T>);
                if (beside.panels)
                    return {beside.panels + (p * all_columns + first_column + j) * b_panel<T>(block), width_of<T>(w)};
                if (b_lies && w % lanes<T> == 0) return {b.at(k0, j * tile_columns<T>), b.row};
                return {b_packed + (b_lies ? 0 : j - j0) * b_panel<T>(block), width_of<T>(w)};
            };
            for (int64_t i0 = 0; i0 < rows.count; i0 += some_rows) {
                const int64_t i1 = std::min(i0 + some_rows, rows.count);
                if (!a_lies) pack_a(a.from(0, k0), rows, i0, i1, steps, a_packed, a_panel<T>(block));
                auto left = [&](int64_t i) -> Panel<T> {
                    if (a_lies) return {a.at(rows.at(i), k0), a.row == 1 ? a.column : a.row};
                    return {a_packed + (i - i0) * a_panel<T>(block), rows.at(i + 1) - rows.at(i)};
                };
                Target<T> to = {c, kept.template as<T>() + (j0 * rows.count + i0 * (j1 - j0)) * tile_size<T>, step,
                                p > span.begin ? Target<T>::what_is_kept : Target<T>::nothing, p + 1 == span.end};
                if (beside.from) {
                    to.add = Target<T>::what_is_given;
                    to.given = beside.from;
                    to.given_step = beside.from_row;
                }
                tiles<T>(rows, i0, i1, lie, left, width, j0, j1, right, steps, to);
            }
        }
    }
}

// A large product: first all threads pack panels of both operands, then all use them.
template <class T> void Gemm<T>::shared(Work& work, Matrix<T> a, Matrix<T> b, T* c, Beside<T> beside) const {
    const int64_t high = std::min(m, shared_side), wide = std::min(n, shared_side);
    const int64_t fit = shared_bytes / static_cast<int64_t>((high + wide) * block * sizeof(T));
    const int64_t chunk = std::clamp<int64_t>(fit, 1, blocks);
    const int64_t a_room = row_panels(high).count * a_panel<T>(block);
    const int64_t b_room = up(wide, tile_columns<T>) * b_panel<T>(block);
    Scratch a_scratch(chunk * a_room * sizeof(T)), b_scratch(chunk * b_room * sizeof(T));
    T *a_packed = a_scratch.template as<T>(), *b_packed = b_scratch.template as<T>();

    for (int64_t j0 = 0; j0 < n; j0 += shared_side) {
        const int64_t width = std::min(n - j0, shared_side), columns = up(width, tile_columns<T>);
        for (int64_t p0 = 0; p0 < blocks; p0 += chunk) {
            const int64_t some = std::min(chunk, blocks - p0);
            for (int64_t i0 = 0; i0 < m; i0 += shared_side) {
                const int64_t height = std::min(m - i0, shared_side);
                const Cut rows = row_panels(height);

                // Parts are made smaller until there are enough of them, or each is little work.
                Cut across = {columns, up(columns, part_column_panels)};
                Cut down = {rows.count, up(rows.count, part_row_panels)};
                const double flops = 2.0 * height * width * std::min(some * block, k);
                while (across.count * down.count < 16 && flops / (across.count * down.count) > part_flops) {
                    Cut& larger = columns / across.count * 2 >= rows.count / down.count ? across : down;
                    if (larger.count >= larger.size) break;
                    larger.count = std::min(larger.count * 2, larger.size);
                }

                // Panels that one part alone reads it packs itself. A job of packing is eight panels of one block.
                const bool own_a = across.count == 1, own_b = down.count == 1 && m <= shared_side;
                const int64_t a_jobs = own_a ? 0 : up(rows.count, 8), b_jobs = i0 || own_b ? 0 : up(columns, 8);
                work.parallel((a_jobs + b_jobs) * some, [&](int64_t job) {
                    const int64_t p = job / (a_jobs + b_jobs), first = job % (a_jobs + b_jobs) * 8;
                    const int64_t k0 = (p0 + p) * block, steps = std::min(block, k - k0);
                    if (first < a_jobs * 8)
                        return pack_a(a.from(i0, k0), rows, first, std::min(first + 8, rows.count), steps,
                                      a_packed + p * a_room + first * a_panel<T>(block), a_panel<T>(block));
                    const int64_t from = first - a_jobs * 8;
                    pack_b(b.from(k0, j0), width, from, std::min(from + 8, columns), steps,
                           b_packed + p * b_room + from * b_panel<T>(block), b_panel<T>(block));
                });

                work.parallel(across.count * down.count, [&](int64_t job) {
                    const int64_t x = job / down.count, y = job % down.count;
                    const int64_t x0 = across.at(x), x1 = across.at(x + 1), y0 = down.at(y), y1 = down.at(y + 1);
                    Scratch kept(some > 1 ? (y1 - y0) * (x1 - x0) * tile_size<T> * sizeof(T) : 0);
                    Scratch a_scratch(own_a ? (y1 - y0) * a_panel<T>(block) * sizeof(T) : 0);
                    Scratch b_scratch(own_b ? (x1 - x0) * b_panel<T>(block) * sizeof(T) : 0);
                    T *own_as = a_scratch.template as<T>(), *own_bs = b_scratch.template as<T>();
                    for (int64_t p = 0; p < some; p++) {
                        const int64_t k0 = (p0 + p) * block, steps = std::min(block, k - k0);
                        if (own_a) pack_a(a.from(i0, k0), rows, y0, y1, steps, own_as, a_panel<T>(block));
                        if (own_b) pack_b(b.from(k0, j0), width, x0, x1, steps, own_bs, b_panel<T>(block));
                        const T* as = own_a ? own_as - y0 * a_panel<T>(block) : a_packed + p * a_room;
                        const T* bs = own_b ? own_bs - x0 * b_panel<T>(block) : b_packed + p * b_room;
                        auto left = [&](int64_t i) -> Panel<T> {
                            return {as + i * a_panel<T>(block), rows.at(i + 1) - rows.at(i)};
                        };
                        auto right = [&](int64_t j) -> Panel<T> {
                            return {bs + j * b_panel<T>(block), width_of<T>(width - j * tile_columns<T>)};
                        };
                        Target<T> to = {c + i0 * c_row + j0, kept.template as<T>(), c_row,
                                        p ? Target<T>::what_is_kept : p0 ? Target<T>::what_is_in_c : Target<T>::nothing,
                                        p + 1 == some};
                        if (beside.from) {
                            to.add = Target<T>::what_is_given;
                            to.given = beside.from + i0 * beside.from_row + j0;
                            to.given_step = beside.from_row;
                        }
                        tiles<T>(rows, y0, y1, Lie::rows_adjacent, left, width, x0, x1, right, steps, to);
                    }
                });
            }
        }
    }
}

// Each group of blocks gives a matrix of its own; these are added up in order.
template <class T> void Gemm<T>::grouped(Work* work, Matrix<T> a, Matrix<T> b, T* c) const {
    Scratch scratch(groups * m * n * sizeof(T));
    T* sums = scratch.template as<T>();
    Cut cut = {blocks, groups};
    auto sum = [&](int64_t g) { part(a, b, sums + g * m * n, n, {0, m}, {0, n}, {cut.at(g), cut.at(g + 1)}); };
    if (work && cost() > 15000)
        work->parallel(groups, sum);
    else
        for (int64_t g = 0; g < groups; g++) sum(g);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            T total = sums[i * n + j];
            for (int64_t g = 1; g < groups; g++) total += sums[(g * m + i) * n + j];
            c[i * c_row + j] = total;
        }
    }
}

template <class T> void Gemm<T>::alone(Matrix<T> a, Matrix<T> b, T* c) const {
    if (k == 0) {
        for (int64_t i = 0; i < m; i++) std::fill_n(c + i * c_row, n, T(0));
    } else if (m && n) {
        groups > 1 ? grouped(nullptr, a, b, c) : part(a, b, c, c_row, {0, m}, {0, n}, {0, blocks});
    }
}

template <class T> void Gemm<T>::run(Work& work, Matrix<T> a, Matrix<T> b, T* c, Beside<T> beside) const {
    const double flops = 2.0 * m * n * k;
    const bool plain = !beside.panels && !beside.from;
    if (plain && (flops < small_flops || k == 0)) return alone(a, b, c);
    if (groups > 1) return grouped(&work, a, b, c);
    if (flops < small_flops) return part(a, b, c, c_row, {0, m}, {0, n}, {0, blocks}, beside);
    const Cut rows = row_panels(m);
    const int64_t columns = up(n, tile_columns<T>);
    const int64_t parts = std::max<int64_t>(static_cast<int64_t>(flops / part_flops), 2);
    if (rows.count <= 2 || beside.panels || (rows.count <= part_row_panels && m * k <= few_numbers)) {
        Cut cut = {columns, std::min(columns, parts)};
        work.parallel(cut.count, [&](int64_t i) {
            Span span = {cut.at(i) * tile_columns<T>, std::min(cut.at(i + 1) * tile_columns<T>, n)};
            part(a, b, c, c_row, {0, m}, span, {0, blocks}, beside);
        });
    } else if (columns <= 2) {
        Cut cut = {rows.count, std::min(rows.count, parts)};
        work.parallel(cut.count, [&](int64_t i) {
            part(a, b, c, c_row, {rows.at(cut.at(i)), rows.at(cut.at(i + 1))}, {0, n}, {0, blocks}, beside);
        });
    } else {
        shared(work, a, b, c, beside);
    }
}

template struct Gemm<float>;
template struct Gemm<double>;

}  // namespace fb::cpu
