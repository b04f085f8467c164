"""The main job at small scale: handwritten digits, learned in a few seconds."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import flowbook as fb


def test_digits_are_learned() -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images, labels = (digits.data / 16).astype("float32")[order], digits.target[order]
    held_out = slice(1437, None)
    with fb.Graph().as_default():
        x, y = fb.placeholder(("batch", 64), name="x"), fb.placeholder(("batch",), "int64", name="y")
        on = fb.placeholder((), "bool", name="training")
        step = fb.Variable(0, trainable=False, name="step")
        model = fb.nn.Sequential([fb.nn.Dense(128, fb.relu), fb.nn.Dropout(0.2), fb.nn.Dense(10)])
        logits = model(x, training=on)
        loss = fb.mean(fb.sparse_softmax_cross_entropy(y, logits))
        optimizer = fb.train.Adam(fb.train.warmup(step, fb.train.cosine_decay(step, 3e-3, 20 * 22), 20))
        pairs = optimizer.compute_gradients(loss)
        clipped, norm = fb.train.clip_by_global_norm([gradient for gradient, _ in pairs], 5.0)
        train = optimizer.apply_gradients(
            zip(clipped, [variable for _, variable in pairs], strict=True), global_step=step
        )
        correct = fb.mean(fb.astype(fb.equal(fb.argmax(logits, axis=-1), y), "float32"))
        session = fb.Session()
        learn = session.make_callable([train, loss, norm], [x, y, on])
        test = {x: images[held_out], y: labels[held_out], on: False}
        before = session.run([loss, correct], test)
        rng = np.random.default_rng(1)
        for _ in range(20):
            for batch in np.array_split(rng.permutation(1437), 22):
                learn(images[batch], labels[batch], True)
        after = session.run([loss, correct], test)
    assert session.run(step) == 20 * 22
    assert before[1] < 0.3 and after[1] >= 0.96
    assert after[0] < before[0] / 10
