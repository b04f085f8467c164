#include "graph/views.h"

#include "graph/rules.h"

#include <algorithm>
#include <unordered_set>

namespace fb::graph {

namespace {

std::vector<int> axes_of(const Attrs& attrs, int rank) {
    std::vector<Operand> none;
    return Call{none, attrs}.axes("axis", rank);
}

Spec shaped(const Spec& x, const Type& output) {
    Spec made = make_spec(output.dtype, output.shape);
    made.dtype = x.dtype;
    return made;
}

}  // namespace

bool is_view(const std::string& op, bool& needs_rows) {
    static const std::unordered_set<std::string> names = {
        "reshape", "reshape_like", "transpose", "matrix_transpose", "flip", "squeeze", "expand_dims", "broadcast_to",
        "broadcast_like", "getitem", "split", "split_like", "unstack", "identity", "stop_gradient"};
    needs_rows = op == "reshape" || op == "reshape_like";
    return names.count(op) != 0;
}

std::vector<View> views_of(const std::string& op, const Attrs& attrs, const Spec& x, const std::vector<Type>& outputs) {
    View v{x, 0};
    int rank = x.rank;
    std::vector<View> found;
    if (op == "reshape" || op == "reshape_like") {
        v.spec = shaped(x, outputs[0]);
    } else if (op == "transpose") {
        for (int i = 0; i < rank; i++) {
            int from = attrs.find("axes") ? normal_axis(attrs.integers("axes")[i], rank) : rank - 1 - i;
            v.spec.shape[i] = x.shape[from];
            v.spec.stride[i] = x.stride[from];
        }
    } else if (op == "matrix_transpose") {
        std::swap(v.spec.shape[rank - 1], v.spec.shape[rank - 2]);
        std::swap(v.spec.stride[rank - 1], v.spec.stride[rank - 2]);
    } else if (op == "flip") {
        for (int axis : axes_of(attrs, rank)) {
            v.offset += std::max<int64_t>(x.shape[axis] - 1, 0) * x.stride[axis];
            v.spec.stride[axis] = -x.stride[axis];
        }
    } else if (op == "squeeze" || op == "expand_dims") {
        // Axes of size 1 come and go; the others keep their order.
        bool adds = op == "expand_dims";
        const Shape& shape = outputs[0].shape;
        v.spec = shaped(x, outputs[0]);
        std::vector<int> axes;
        if (adds || attrs.find("axis")) axes = axes_of(attrs, adds ? static_cast<int>(shape.size()) : rank);
        else
            for (int i = 0; i < rank; i++)
                if (x.shape[i] == 1) axes.push_back(i);
        auto is_one = [&](int i) { return std::binary_search(axes.begin(), axes.end(), i); };
        for (int i = 0, j = 0; i < (adds ? v.spec.rank : rank); i++) {
            if (is_one(i)) continue;
            if (adds) v.spec.stride[i] = x.stride[j++];
            else v.spec.stride[j++] = x.stride[i];
        }
    } else if (op == "broadcast_to" || op == "broadcast_like") {
        v.spec = shaped(x, outputs[0]);
        int extra = v.spec.rank - rank;
        for (int i = 0; i < v.spec.rank; i++)
            v.spec.stride[i] = i < extra || x.shape[i - extra] == 1 ? 0 : x.stride[i - extra];
    } else if (op == "getitem") {
        Taken t = read_index(*attrs.find("index"), Shape(x.shape, x.shape + rank));
        v.spec = shaped(x, outputs[0]);
        for (int i = 0; i < rank; i++) v.offset += t.first[i] * x.stride[i];
        for (int i = 0; i < v.spec.rank; i++)
            v.spec.stride[i] = t.axis[i] < 0 ? 0 : x.stride[t.axis[i]] * t.step[t.axis[i]];
    } else if (op == "split" || op == "split_like" || op == "unstack") {
        int axis = normal_axis(attrs.integer("axis"), rank);
        int64_t at = 0;
        for (const Type& output : outputs) {
            View part{x, at * x.stride[axis]};
            if (op == "unstack") {
                for (int i = axis; i + 1 < rank; i++) {
                    part.spec.shape[i] = x.shape[i + 1];
                    part.spec.stride[i] = x.stride[i + 1];
                }
                part.spec.rank--;
                at++;
            } else {
                part.spec.shape[axis] = output.shape[axis];
                at += output.shape[axis];
            }
            found.push_back(part);
        }
    }
    if (found.empty()) found.push_back(v);
    for (View& each : found)
        if (each.spec.size() == 0) {
            each.spec.set_contiguous();
            each.offset = 0;
        }
    return found;
}

}  // namespace fb::graph
