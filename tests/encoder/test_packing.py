"""The rows of attention: every token in one slot, and who sees whom, against plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmagentos.encoder._packing import Packing, pack_rows

quick = settings(max_examples=60, deadline=None)
text_lengths = st.lists(st.integers(1, 30), min_size=1, max_size=25)
windows = st.none() | st.integers(1, 12)


def packing(lengths: list[int]) -> Packing:
    return Packing(torch.tensor([0, *lengths]).cumsum(0), max(lengths))


@quick
@given(text_lengths)
def test_every_token_has_one_slot_and_a_text_stands_in_one_row(lengths: list[int]) -> None:
    packed = packing(lengths)
    rows = pack_rows(packed.offsets)
    num_rows, capacity = rows.texts.shape
    assert capacity == rows.positions.shape[1] == -(-max(lengths) // 8) * 8
    assert num_rows <= len(lengths)
    places = torch.arange(num_rows * capacity) if rows.places is None else rows.places
    index = torch.arange(num_rows * capacity) if rows.index is None else rows.index
    assert len(set(places.tolist())) == len(places) == sum(lengths)
    assert index[places].tolist() == list(range(sum(lengths)))
    starts = packed.offsets.tolist()
    for text, length in enumerate(lengths):
        its_places = places[starts[text] : starts[text + 1]]
        assert its_places.diff().eq(1).all()
        assert len(set((its_places // capacity).tolist())) == 1
        assert rows.texts.flatten()[its_places].tolist() == [text] * length
        assert rows.positions.flatten()[its_places].tolist() == list(range(length))
    empty = rows.texts.flatten() == -1
    assert int(empty.sum()) == num_rows * capacity - sum(lengths)
    assert not index[empty].any() and not rows.positions.flatten()[empty].any()


@quick
@given(text_lengths)
def test_a_row_is_closed_only_when_the_shortest_text_left_does_not_fit(lengths: list[int]) -> None:
    texts = pack_rows(packing(lengths).offsets).texts
    left = list(lengths)
    for row in texts:
        for text in set(row.tolist()) - {-1}:
            left.remove(lengths[text])
        assert not left or int((row >= 0).sum()) + min(left) > len(row)
    assert not left


@quick
@given(text_lengths)
def test_positions_count_from_each_text_s_start(lengths: list[int]) -> None:
    assert packing(lengths).positions.tolist() == [place for length in lengths for place in range(length)]


@quick
@given(text_lengths, st.booleans(), windows)
def test_a_token_sees_its_own_text_backwards_and_nearby_as_asked(
    lengths: list[int], causal: bool, window: int | None
) -> None:
    rows = packing(lengths).rows
    allowed = rows.allowed(causal=causal, window=window)
    if allowed is None:
        assert not causal and window is None and set(lengths) == {rows.texts.shape[1]}
        return
    assert allowed.any(-1).all()
    for texts, positions, sees in zip(
        rows.texts.tolist(), rows.positions.tolist(), allowed.tolist(), strict=True
    ):
        for i, (text, position) in enumerate(zip(texts, positions, strict=True)):
            assert sees[i] == [
                texts[j] == text
                and (not causal or positions[j] <= position)
                and (window is None or abs(positions[j] - position) < window)
                for j in range(len(texts))
            ]


def test_texts_that_fill_their_rows_stay_as_they_are() -> None:
    rows = packing([16, 16, 16]).rows
    assert rows.index is None and rows.places is None
    assert rows.texts.tolist() == [[text] * 16 for text in range(3)]
    assert rows.allowed(causal=False, window=None) is None
    assert rows.allowed(causal=True, window=None) is not None


def test_two_texts_that_fill_one_row_do_not_see_each_other() -> None:
    rows = packing([12, 4]).rows
    assert rows.texts.tolist() == [[0] * 12 + [1] * 4]
    allowed = rows.allowed(causal=False, window=None)
    assert allowed is not None and allowed.tolist() == [
        [[(i < 12) == (j < 12) for j in range(16)] for i in range(16)]
    ]


def test_the_bias_is_zero_or_minus_infinity_and_made_once() -> None:
    packed = packing([5, 9, 2])
    bias = packed.bias(torch.bfloat16, causal=True, window=3)
    allowed = packed.rows.allowed(causal=True, window=3)
    assert bias is not None and allowed is not None
    assert bias.dtype == torch.bfloat16 and bias.shape == (len(allowed), 1, 16, 16)
    assert torch.equal(bias[:, 0] == 0, allowed) and torch.equal(bias[:, 0] == -torch.inf, ~allowed)
    assert packed.bias(torch.bfloat16, causal=True, window=3) is bias
    assert packed.rows is packed.rows
    for dtype, causal, window in ((torch.float32, True, 3), (torch.bfloat16, False, 3)):
        assert packed.bias(dtype, causal=causal, window=window) is not bias
    assert packing([8, 8]).bias(torch.float32, causal=False, window=None) is None


@pytest.mark.parametrize(("longest", "capacity"), [(1017, 1024), (1024, 1024), (1025, 1025), (2999, 2999)])
def test_the_row_of_a_long_text_is_no_longer_than_that(longest: int, capacity: int) -> None:
    alone = packing([longest])
    assert alone.rows.texts.shape == (1, capacity)
    assert (alone.bias(torch.float32, causal=False, window=None) is None) == (longest == capacity)
    assert packing([longest, 3]).rows.texts.shape == (1 if capacity - longest >= 3 else 2, capacity)
