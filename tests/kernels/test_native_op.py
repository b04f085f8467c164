"""Operators that a user writes in C++: what they compute, how they are used, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, DTypeError, FileError, GradientError, RunError, ShapeError
from flowbook.graph.check import check
from flowbook.native import building, declaring, operator
from flowbook.native.building import CompileError, NoCompiler
from flowbook.notebook.cells import run_cell

native = pytest.importorskip("flowbook.native._native")

try:
    building.compiler()
except NoCompiler as error:
    pytest.skip(error.message, allow_module_level=True)

CODE = """
FLOWBOOK_FLOAT_OP(swish) {
    auto x = in<T>(0);
    auto y = out<T>(0);
    parallel(x.size, [&](int64_t i) { y[i] = x[i] / (1 + std::exp(-x[i])); });
}

FLOWBOOK_FLOAT_OP(swish_grad) {
    auto x = in<T>(0), dy = in<T>(1);
    auto dx = out<T>(0);
    parallel(x.size, [&](int64_t i) {
        T s = 1 / (1 + std::exp(-x[i]));
        dx[i] = dy[i] * s * (1 + x[i] * (1 - s));
    });
}

// FLOWBOOK_OP(no_operator) is a comment.
FLOWBOOK_OP(twice) {
    with_number(dtype_in(0), [&](auto zero) {
        using T = decltype(zero);
        auto x = in<T>(0);
        auto y = out<T>(0);
        parallel(x.size, [&](long i) { y[i] = static_cast<T>(2 * x[i]); }, 3);
    });
}

FLOWBOOK_OP(negate) {
    auto x = in<bool>(0);
    auto y = out<bool>(0);
    for (int64_t i = 0; i < x.size; i++) y[i] = !x[i];
}

FLOWBOOK_STRIDED_OP(corner) {
    auto x = in<float>(0);
    auto y = out<float>(0);
    auto strides = out<int64_t>(1);
    y[0] = x(0, 1);
    strides[0] = x.strides[0];
    strides[1] = x.strides[1];
}

FLOWBOOK_FLOAT_OP(spread) {
    auto x = in<T>(0);
    auto low = out<T>(0), high = out<T>(1);
    int64_t n = x.shape[x.rank - 1];
    parallel(low.size, [&](int64_t row) {
        T least = x[row * n], most = least;
        for (int64_t i = 1; i < n; i++) {
            least = std::fmin(least, x[row * n + i]);
            most = std::fmax(most, x[row * n + i]);
        }
        low[row] = least;
        high[row] = most;
    });
}

FLOWBOOK_OP(told) {
    auto y = out<double>(0);
    y[0] = double(integer("k"));
    y[1] = real("alpha");
    y[2] = double(text("mode").size());
    y[3] = flag("on");
    y[4] = double(integers("sizes").size());
    y[5] = has("nothing");
    y[6] = reals("sizes")[1];
    if (text("mode") == "fail") fail("mode is \\"fail\\"");
    if (text("mode") == "kind") integer("alpha");
    if (text("mode") == "none") integer("nothing");
    if (text("mode") == "throw") parallel(1000, [&](int64_t i) { if (i == 777) throw std::out_of_range("at 777"); }, 1);
    if (text("mode") == "odd") throw 3;
    if (text("mode") == "input") in<float>(1);
    if (text("mode") == "dtype") in<double>(0);
}
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An empty cache, which the tests of this file share."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.delenv("FLOWBOOK_CACHE", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "flowbook" / "operators"


@pytest.fixture(autouse=True)
def graph(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(operator, "OWN", own := dict[str, Any]())
    monkeypatch.setattr("flowbook.graph.opdef.OWN", own)
    with fb.Graph().as_default() as g:
        yield g


def swish(**more: Any) -> Any:
    grad = fb.native_op(CODE, "swish_grad", inputs=("x", "dy"))
    return fb.native_op(CODE, "swish", gradient=lambda node, dy: grad(node.inputs[0], dy), **more)


def told(**more: Any) -> Any:
    def spec(x: Any, *, k: int, alpha: float = 0.5, mode: str = "", on=False, sizes=(1, 2, 3), nothing=None) -> Any:
        return fb.TensorSpec((7,), "float64")

    return fb.native_op(CODE, "told", spec=spec, **more)


def oracle(x: Any) -> Any:
    return x / (1 + np.exp(-x))


# ------------------------------------------------------------------------------------------------ what it computes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (70, 1000)])
def test_it_computes(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    (found,) = fb.Session().run([swish()(fb.constant(x, dtype))])
    assert found.dtype == dtype and found.shape == shape
    np.testing.assert_allclose(found, oracle(x), rtol=1e-6)


@pytest.mark.parametrize("dtype", sorted(declaring.DTYPES - {"bool"}))
def test_each_dtype(dtype: str) -> None:
    x = fb.placeholder((None,), dtype)
    found = fb.Session().run(fb.native_op(CODE, "twice")(x), {x: np.arange(11).astype(dtype)})
    assert found.dtype == dtype and found.tolist() == list(range(0, 22, 2))


def test_bool() -> None:
    x = fb.placeholder((3,), "bool")
    assert fb.Session().run(fb.native_op(CODE, "negate")(x), {x: [True, False, True]}).tolist() == [False, True, False]


def test_several_outputs() -> None:
    op = fb.native_op(CODE, "spread", spec=lambda x: (x._replace(shape=x.dims[:-1]),) * 2)
    x = fb.placeholder(("batch", 3), name="x")
    low, high = op(x, name="both")
    assert [each.name for each in (low, high)] == ["both", "both:1"] and high.shape == ("batch",)
    value = np.random.default_rng(2).normal(size=(500, 3)).astype("float32")
    found = fb.Session().run([low, high], {x: value})
    np.testing.assert_array_equal(found, [value.min(1), value.max(1)])


def test_attributes() -> None:
    x = fb.constant([1.0])
    run = fb.Session().run
    op = told()
    assert run(op(x, k=-3)).tolist() == [-3, 0.5, 0, 0, 3, 0, 2]
    every = run(op(x, 2**40, alpha=7, mode="ähm", on=True, sizes=[4, 5, 6, 7], nothing=1))
    assert every.tolist() == [2**40, 7, 4, 1, 4, 1, 5]
    with pytest.raises(RunError, match="attribute 'sizes' is not a tuple of ints"):
        run(op(x, k=1, sizes=[0.5, 0.25]))
    with pytest.raises(ArgumentError, match="'k'"):
        op(x)
    with pytest.raises(ArgumentError, match="neither a number"):
        op(x, k=1, mode=(("a", 1),))
    with pytest.raises(ArgumentError, match="64 bits"):
        op(x, k=2**63)


def test_attributes_and_inputs_by_argument() -> None:
    spec = lambda *specs, **attrs: fb.TensorSpec((7,), "float64")  # noqa: E731
    wanted = {"k": ..., "alpha": 0.5, "mode": "", "on": False, "sizes": (1, 2), "nothing": None}
    op = fb.native_op(CODE, "told", spec=spec, inputs="x", attributes=wanted)
    assert fb.Session().run(op(fb.constant([1.0]), k=4)).tolist()[0] == 4
    with pytest.raises(ArgumentError, match="'k'"):
        op(fb.constant([1.0]))


def test_a_number_is_a_tensor_of_the_others_dtype() -> None:
    op = fb.native_op(CODE, "swish_grad", inputs="x dy")
    x = fb.placeholder((), "float64")
    y = op(x, 1)
    assert y.node.inputs[1].dtype == "float64"
    assert fb.Session().run(op(0.0, 2.0)) == 1.0
    assert op(x, np.float32(1.0)).node.inputs[1].dtype == "float64"


def test_strides() -> None:
    op = fb.native_op(CODE, "corner", spec=lambda x: (x._replace(shape=()), fb.TensorSpec((2,), "int64")))
    x = fb.placeholder((2, 3))
    y, strides = op(fb.transpose(x))
    value = np.arange(6, dtype="float32").reshape(2, 3)
    for found in (fb.Session().run([y, strides], {x: value}), fb.Session().debug([y, strides], {x: value}).finish()):
        assert found[0] == 3 and found[1].tolist() == [1, 3]


def test_a_file_and_its_own_headers(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "factor.h").write_text("const float factor = 3;\n")
    (tmp_path / "tools.h").write_text('#include "deep/factor.h"\n')
    path = tmp_path / "times.cpp"
    path.write_text(
        '#include <flowbook_op.h>\n#include "tools.h"\nFLOWBOOK_OP(times) {\n'
        "    auto x = in<float>(0);\n    auto y = out<float>(0);\n"
        "    for (int64_t i = 0; i < x.size; i++) y[i] = factor * x[i];\n}\n"
    )
    x = fb.constant([1.0, 2.0])
    first = fb.native_op(file=path)(x)
    (tmp_path / "deep" / "factor.h").write_text("const float factor = 5;\n")
    second = fb.native_op(file=str(path))(x)
    assert [each.tolist() for each in fb.Session().run([first, second])] == [[3, 6], [5, 10]]
    path.write_text(path.read_text().replace("factor * x", "faktor * x"))
    with pytest.raises(CompileError, match=r"line 6 of times.cpp: .*faktor"):
        fb.native_op(file=path)


def test_shapes_known_only_when_it_runs() -> None:
    x = fb.placeholder((None,))
    unknown = fb.py_function(lambda value: value[value > 0], [x], "float32")
    y = swish()(unknown)
    (found,) = fb.Session().run([y], {x: [-1.0, 2.0, 3.0]})
    np.testing.assert_allclose(found, oracle(np.float32([2, 3])), rtol=1e-6)


# ------------------------------------------------------------------------------------------------ like any op


def test_gradients_of_any_order() -> None:
    x = fb.placeholder((3, 2), "float64", name="x")
    value = np.random.default_rng(3).normal(size=(3, 2))
    op = swish()
    fb.check_gradients(op(x), [x], {x: value})
    built = fb.native_op(
        CODE,
        "swish",
        gradient=lambda node, dy: dy * (fb.sigmoid(node.inputs[0]) * (1 + node.inputs[0] - node.outputs[0])),
    )
    y = built(x)
    (dx,) = fb.gradients(y, [x])
    fb.check_gradients(y, [x], {x: value})
    fb.check_gradients(dx, [x], {x: value})
    with pytest.raises(GradientError, match="swish_grad has no gradient: native_op was given none"):
        fb.gradients(fb.gradients(op(x), [x])[0], [x])


def test_gradients_are_checked() -> None:
    x = fb.placeholder((3, 2), name="x")
    wrong = fb.native_op(CODE, "swish", gradient=lambda node, dy: fb.sum(dy))
    with pytest.raises(GradientError, match=r"gave shape \(\) for 'x', float32 \(3, 2\)"):
        fb.gradients(wrong(x), [x])
    lazy = fb.native_op(CODE, "swish", gradient=lambda node, dy: lambda: fb.sum(dy))
    with pytest.raises(GradientError, match=r"gave shape \(\)"):
        fb.gradients(lazy(x), [x])
    many = fb.native_op(CODE, "swish", gradient=lambda node, dy: (dy, dy))
    with pytest.raises(GradientError, match="gave 2 for 1"):
        fb.gradients(many(x), [x])


def test_both_drivers_the_trace_and_a_callable() -> None:
    x = fb.placeholder((4, 50), name="x")
    y = swish(cost=lambda inputs, outputs, attrs: 25 * outputs[0].size)(fb.transpose(x) * 2.0, name="y")
    value = np.random.default_rng(4).normal(size=(4, 50)).astype("float32")
    session = fb.Session()
    wanted = session.run(y, {x: value})
    np.testing.assert_allclose(wanted, oracle(2 * value.T), rtol=1e-6)
    d = session.debug(y, {x: value})
    d.to("y")
    d.step()
    assert d.value("y").tobytes() == wanted.tobytes() == d.finish().tobytes()
    assert session.run(y, {x: value}, trace=True).tobytes() == wanted.tobytes()
    assert session.trace is not None and "swish" in [each.op for each in session.trace.nodes]
    call = session.make_callable(y, [x])
    assert call(value).tobytes() == wanted.tobytes()
    plan = session.plan([y], {x: value})
    (step,) = [each for each in plan.steps if each.op.name == "swish"]
    assert type(step.fn) is native.Kernel  # no Python in between
    assert y.node.opdef.flops([y.spec], [y.spec], {}) == 5000


def test_bodies() -> None:
    op = swish()
    x = fb.placeholder((2,), name="x")
    y = fb.cond(fb.sum(x) > 0, lambda: op(x), lambda: -op(x))
    (dx,) = fb.gradients(y, [x])
    found, slope = fb.Session().run([y, dx], {x: [-1.0, -2.0]})
    np.testing.assert_allclose(found, -oracle(np.float32([-1, -2])), rtol=1e-6)
    assert slope.shape == (2,)


def test_equal_nodes_are_merged_and_different_code_is_not() -> None:
    x = fb.placeholder((2,))
    first = swish()(x)
    other = fb.native_op(CODE.replace("y[i] = x[i] /", "y[i] = 10 * x[i] /"), "swish")(x)
    a, b = fb.Session().run([first, other], {x: [1.0, 2.0]})
    np.testing.assert_allclose(10 * a, b, rtol=1e-6)
    op = swish()
    assert len(fb.Session().plan([op(x) + op(x)], {x: np.ones(2, "float32")}).steps) == 2


def test_it_looks_like_an_op() -> None:
    op = told(reference=lambda x, *, k, **rest: None)
    assert op.__name__ == "told" and str(op.opdef.signature).startswith("(x, k, alpha=0.5")
    y = swish()(fb.placeholder((2,), name="x"))
    assert repr(y.node) == "<Node 'swish_1': swish float32 (2,)>"
    check(y.node.graph)


# ------------------------------------------------------------------------------------------------ cells and files


def cell(code: str, space: dict[str, Any], graph: fb.Graph, name: str) -> Any:
    return run_cell(code, space, name=name, graph=graph)


def test_a_cell_that_is_run_again(graph: fb.Graph) -> None:
    space = {"fb": fb, "CODE": CODE}
    define = 'swish = fb.native_op(CODE, "swish")'
    cell(define, space, graph, "define")
    cell("x = fb.placeholder((2,))\ny = swish(x)", space, graph, "use")
    session = fb.notebook.session(graph)
    (before,) = session.run([space["y"]], {space["x"]: [1.0, 2.0]})
    plain = graph.hash
    space["CODE"] = CODE.replace("y[i] = x[i] /", "y[i] = 10 * x[i] /")
    cell(define, space, graph, "define")
    (kept,) = session.run([space["y"]], {space["x"]: [1.0, 2.0]})
    assert kept.tobytes() == before.tobytes() and graph.hash == plain
    check(graph)
    cell("x = fb.placeholder((2,))\ny = swish(x)", space, graph, "use")
    (after,) = session.run([space["y"]], {space["x"]: [1.0, 2.0]})
    np.testing.assert_allclose(after, 10 * before, rtol=1e-6)
    assert graph.hash != plain


def test_saving_and_loading(graph: fb.Graph, tmp_path: Path) -> None:
    x = fb.placeholder((2,), name="x")
    swish()(x, name="y")
    path = tmp_path / "graph.flow"
    fb.save_graph(path, graph)
    wanted = fb.Session().run("y", {x: [1.0, 2.0]})
    loaded = fb.load_graph(path)
    assert loaded.hash == graph.hash
    assert fb.Session(loaded).run("y", {"x": [1.0, 2.0]}).tobytes() == wanted.tobytes()
    operator.OWN.clear()
    with pytest.raises(FileError, match="no op is called 'swish'") as caught:
        fb.load_graph(path)
    assert "define an operator of your own with fb.native_op" in str(caught.value)


# ------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fail", 'mode is "fail"'),
        ("kind", "attribute 'alpha' is not an int"),
        ("none", "attribute 'nothing' is None"),
        ("throw", "at 777"),
        ("odd", "the C.. code threw something that is no std::exception"),
        ("input", "there is no input 1, only 1"),
        ("dtype", "input 0 is float32, the C\\+\\+ code takes it for float64"),
    ],
)
def test_an_error_in_the_code(mode: str, message: str) -> None:
    x = fb.placeholder((2,), name="x")
    y = told()(x + 0.0, k=1, mode=mode, name="y")
    session = fb.Session()
    value = np.ones(2, "float32")
    drivers = [
        lambda: session.run(y, {x: value}),
        lambda: session.run(y, {x: value}, trace=True),
        lambda: session.debug(y, {x: value}).finish(),
        lambda: session.make_callable(y, [x])(value),
    ]
    for drive in drivers:
        with pytest.raises(RunError, match=f"^{message}") as caught:
            drive()
        assert caught.value.node == "y" and caught.value.op == "told"
        assert caught.value.code == 'y = told()(x + 0.0, k=1, mode=mode, name="y")'
        assert caught.value.inputs == ["add_1 float32 (2,)"]
    with pytest.raises(RunError, match=f"^{message}"):  # of a shape that is known only then
        session.run(told()(fb.py_function(lambda x: x, [x], "float32"), k=1, mode=mode), {x: value})


def test_compile_errors_have_the_lines_of_the_cell(graph: fb.Graph) -> None:
    code = (
        "a = fb.constant(1.0)\n"
        'op = fb.native_op("""\n'
        "FLOWBOOK_OP(bad) {\n"
        "    auto x = in<float>(0);\n"
        "    x.nothing();\n"
        '}""")\n'
    )
    with pytest.raises(CompileError) as caught:
        cell(code, {"fb": fb}, graph, "mine")
    text = str(caught.value)
    assert text.startswith("the C++ code of 'bad' does not compile:\n  line 5: ") and "nothing" in text.splitlines()[1]
    assert text.splitlines()[2:4] == ["      x.nothing();", "        ^"]
    assert "  where:  mine, line 2:  op = fb.native_op(" in text
    broken = "\n" + "\n".join(f"int a{each} = b;" for each in range(5)) + "\nFLOWBOOK_OP(bad) {}"
    with pytest.raises(CompileError, match=r"(?s)line 2 of the text: .*line 4 of the text: .*\n  and 2 more"):
        fb.native_op(broken)


def test_an_error_inside_a_header_is_told_at_the_users_line() -> None:
    text = "FLOWBOOK_OP(bad) {\n    auto x = in<float>(0);\n    parallel(x.size, [&](auto a, auto b) {});\n}"
    with pytest.raises(CompileError, match="line 3 of the text: no match"):
        fb.native_op(text)


def test_what_does_not_link() -> None:
    with pytest.raises(
        CompileError, match=r"'bad' was compiled, but the library does not load: undefined symbol: .*nowhere"
    ):
        fb.native_op("void nowhere();\nFLOWBOOK_OP(bad) { nowhere(); }")
    with pytest.raises(CompileError, match=r"(?s)does not compile:.*nowhere"):
        fb.native_op("void nowhere();\nFLOWBOOK_OP(bad) { nowhere(); }", flags="-Wl,-z,defs")


def test_fast_mathematics_stays_where_it_is() -> None:
    tiny = np.float32(1e-38)
    fb.native_op("FLOWBOOK_OP(hasty) {}", flags="-ffast-math")
    assert tiny * np.float32(0.01) > 0


def test_another_version_of_the_interface() -> None:
    old = 'extern "C" FLOWBOOK_OP_EXPORT const flowbook_op flowbook_op_old = {%s, 0, "old", %s};'
    run = "[](const flowbook_call*) { return 7; }"
    with pytest.raises(CompileError, match=r"version 99 of flowbook_op.h, this is version 1: compile it again"):
        fb.native_op(old % (99, run), "old")
    with pytest.raises(CompileError, match="no function to run"):
        fb.native_op(old % (1, "nullptr"), "old")
    with pytest.raises(CompileError, match="the library has no operator 'new'"):
        fb.native_op(old % (1, run), "new")
    plain = fb.native_op(old % (1, run), "old")
    with pytest.raises(RunError, match=r"^it returned status 7"):
        fb.Session().run(plain(fb.constant(1.0)))


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match=r"defines 7 operators: swish, .*told"):
        fb.native_op(CODE)
    with pytest.raises(ArgumentError, match="defines 0 operators"):
        fb.native_op("// FLOWBOOK_OP(a) {}")
    with pytest.raises(ArgumentError, match="does not define 'swoosh'"):
        fb.native_op(CODE, "swoosh")
    with pytest.raises(ArgumentError, match="'tanh' is an operator of flowbook's own"):
        fb.native_op("FLOWBOOK_OP(tanh) {}")
    with pytest.raises(ArgumentError, match="one of the two"):
        fb.native_op()
    with pytest.raises(ArgumentError, match="cannot be read"):
        fb.native_op(file="/nowhere/op.cpp")
    for wrong in ({"spec": 3}, {"gradient": "x"}, {"inputs": 3}, {"inputs": "x x"}, {"attributes": {"name": 1}}):
        with pytest.raises(ArgumentError):
            fb.native_op(CODE, "swish", **wrong)
    with pytest.raises(ArgumentError, match="not arguments of a compiler"):
        fb.native_op(CODE, "swish", flags=[3])


def giving(result: Any) -> Any:
    return lambda x: result


def test_rules_are_checked() -> None:
    x = fb.placeholder((2,), name="x")
    with pytest.raises(ShapeError, match="the shape rule of swish raised ZeroDivisionError"):
        fb.native_op(CODE, "swish", spec=lambda x: 1 / 0)(x)
    for wrong in (3, (), [x], None):
        with pytest.raises(ArgumentError, match="it has to give specs"):
            fb.native_op(CODE, "swish", spec=giving(wrong))(x)
    with pytest.raises(DTypeError, match="output 0 is float16"):
        fb.native_op(CODE, "swish", spec=lambda x: fb.TensorSpec(x.shape, np.dtype("float16")))(x)
    with pytest.raises(ShapeError, match="input 0 has 9 axes"):
        swish()(fb.placeholder((1,) * 9))
    open_size = fb.native_op(CODE, "swish", spec=lambda x: x._replace(shape=(None,)))(x, name="y")
    with pytest.raises(RunError, match="leaves sizes open") as caught:
        fb.Session().run(open_size, {x: [1.0, 2.0]})
    assert caught.value.node == "y"


# ------------------------------------------------------------------------------------------------ compiling


def test_what_is_there_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    text = "FLOWBOOK_OP(nothing) {}"
    before = set(cache.glob("*.so"))
    fb.native_op(text)
    (library,) = set(cache.glob("*.so")) - before
    monkeypatch.setattr(building, "_run", lambda command: 1 / 0)
    fb.native_op(text)
    for different in (dict(source=text + " "), dict(source=text, flags=("-DX",))):
        with pytest.raises(ZeroDivisionError):
            fb.native_op(**different)
    assert set(cache.glob("*.so")) - before == {library} and not list(cache.glob("compiling-*"))


def test_a_note_when_it_takes_long(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(building, "PATIENCE", 0.001)
    fb.native_op("FLOWBOOK_OP(slow) {}")
    assert capsys.readouterr().err.startswith("flowbook: compiling C++ code with ")


def test_two_processes_at_once(cache: Path) -> None:
    program = (
        "import flowbook as fb\n"
        "op = fb.native_op('FLOWBOOK_OP(both) { auto y = out<float>(0); y[0] = 4; }')\n"
        "print(fb.Session().run(op(fb.constant(1.0))))\n"
    )
    before = set(cache.glob("*.so"))
    runs = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [each.communicate()[0].strip() for each in runs] == ["4.0", "4.0"]
    assert len(set(cache.glob("*.so")) - before) == 1 and not list(cache.glob("compiling-*"))


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(building.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = building.cache_folder()
    assert folder.parent.parent == tmp_path
    folder.chmod(0o777)  # others could put their code there
    assert building.cache_folder() != folder


def test_which_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "c++ -DX")
    assert building.compiler()[1:] == ["-DX"]
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(NoCompiler, match="CXX=no-such-compiler is no program"):
        building.compiler()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(building, "find_spec", lambda name: object())
    assert building.compiler() == [sys.executable, "-m", "ziglang", "c++"]


def test_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(building, "find_spec", lambda name: None)
    monkeypatch.setattr(operator, "_told", False)
    with pytest.raises(NoCompiler, match="no c\\+\\+, g\\+\\+ or clang\\+\\+ on the path") as caught:
        fb.native_op(CODE, "swish")
    assert "pip install ziglang; or give reference=" in str(caught.value)
    x = fb.placeholder((3,), "float64", name="x")
    op = swish_by_reference()
    y = op(x)
    fb.check_gradients(y, [x], {x: [1.0, 2.0, -3.0]})
    assert fb.Session().debug(y, {x: [1.0, 2.0, 3.0]}).finish().tolist() == oracle(np.array([1.0, 2.0, 3.0])).tolist()
    assert capsys.readouterr().err.count("reference= says is used instead") == 1
    wrong = fb.native_op(CODE, "swish", reference=lambda x: x.astype("float32"))
    with pytest.raises(RunError, match=r"reference= of swish gave float32 \(3,\), its shape rule says float64 \(3,\)"):
        fb.Session().run(wrong(x), {x: [1.0, 2.0, 3.0]})


def test_without_the_native_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "library", None)
    monkeypatch.setattr(operator, "_told", True)
    with pytest.raises(NoCompiler, match="need flowbook's native library, which is not here"):
        fb.native_op(CODE, "swish")
    assert fb.Session().run(swish_by_reference()(0.0)) == 0.0


def swish_by_reference() -> Any:
    gradient = lambda node, dy: dy * (fb.sigmoid(node.inputs[0]) * (1 + node.inputs[0] - node.outputs[0]))  # noqa: E731
    return fb.native_op(CODE, "swish", gradient=gradient, reference=oracle)
