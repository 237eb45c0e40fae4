"""Topics of texts and of windows."""

import numpy as np

from klue_beam.transforms.tasks.classification.labels import decode_labels


def test_the_topic_of_a_long_text_is_the_mean_by_share() -> None:
    """Two windows of one text count by how much of it they decide on; a text without units has no topic."""
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    topics = decode_labels(rows, np.array([0, 0, 1]), np.array([1.0, 3.0, 2.0], np.float32), 3, ("경제", "정치"))
    assert topics.label.tolist() == [1, 0, -1]
    np.testing.assert_allclose(topics.score[:2], [(0.1 + 3 * 0.8) / 4, 0.6], rtol=1e-6)
    assert [row and row["label"] for row in topics.to_arrow([], np.zeros(3, dtype=bool)).to_pylist()] == [
        "정치",
        "경제",
        None,
    ]
