"""Packed attention against equation 1 written out text by text, its gradient, and its dropout."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from llmagentos.encoder import _attention
from llmagentos.encoder._attention import attend
from llmagentos.encoder._packing import Packing, widest_flash_head

# In rows of 16: 13 + 2, 9 + 4 and 7.
LENGTHS = [9, 2, 13, 4, 7]


def written_out(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: list[int],
    *,
    scaling: float,
    causal: bool = False,
    window: int | None = None,
) -> Tensor:
    """softmax(scaling q_i k_j) v_j over the tokens j that token i sees, for each text, head and token."""
    _, num_heads, num_tokens, _ = query.shape
    shared_by = num_heads // key.shape[1]
    out = [[torch.empty(0)] * num_heads for _ in range(num_tokens)]
    start = 0
    for length in lengths:
        for head in range(num_heads):
            for i in range(length):
                seen = [
                    start + j
                    for j in range(length)
                    if (not causal or j <= i) and (window is None or abs(i - j) < window)
                ]
                scores = key[0, head // shared_by, seen] @ query[0, head, start + i] * scaling
                out[start + i][head] = torch.softmax(scores, 0) @ value[0, head // shared_by, seen]
        start += length
    return torch.stack([torch.stack(heads) for heads in out])[None]


def packing(lengths: list[int]) -> Packing:
    return Packing(torch.tensor([0, *lengths]).cumsum(0), max(lengths))


def qkv(
    lengths: list[int],
    *,
    heads: tuple[int, int] = (2, 2),
    size: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(1, number, sum(lengths), size, generator=generator, dtype=torch.float64).to(dtype)
        for number in (heads[0], heads[1], heads[1])
    )
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_()


def attention(
    inputs: tuple[Tensor, ...], lengths: list[int], module: nn.Module | None = None, **more: Any
) -> Tensor:
    query, key, value = inputs
    out, no_probabilities = attend(
        module or nn.Identity(), query, key, value, None, packing=packing(lengths), **more
    )
    assert no_probabilities is None
    return out


def gradients(out: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of a sum in which each number of the result counts differently."""
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view(out.shape)
    return torch.autograd.grad((out * weights).sum(), inputs)


@pytest.fixture(params=["short rows", "long rows"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Our own gradient, and PyTorch's attention for rows that are too long to keep."""
    kind: str = request.param
    if kind == "long rows":
        monkeypatch.setattr(_attention, "_LONGEST_KEPT_ROW", 8)
        monkeypatch.setattr(_attention, "_RowAttention", None)
    else:
        monkeypatch.setattr(functional, "scaled_dot_product_attention", None)
    return kind


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("heads", [(2, 2), (4, 2), (3, 1)], ids=["", "grouped", "one for all"])
@pytest.mark.parametrize("window", [None, 1, 4, 13])
@pytest.mark.parametrize("causal", [False, True])
def test_value_and_gradient_equal_equation_1(
    causal: bool, window: int | None, heads: tuple[int, int]
) -> None:
    inputs = qkv(LENGTHS, heads=heads)
    out = attention(inputs, LENGTHS, is_causal=causal, sliding_window=window, scaling=0.7)
    expected = written_out(*inputs, LENGTHS, causal=causal, window=window, scaling=0.7)
    assert out.shape == (1, sum(LENGTHS), heads[0], 4)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(out, inputs), gradients(expected, inputs), rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.booleans(),
    st.none() | st.integers(1, 6),
    st.integers(0, 1000),
    st.booleans(),
)
def test_any_texts(lengths: list[int], causal: bool, window: int | None, seed: int, long_rows: bool) -> None:
    inputs = qkv(lengths, heads=(2, 1), size=3, seed=seed)
    expected = written_out(*inputs, lengths, causal=causal, window=window, scaling=3**-0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_attention, "_LONGEST_KEPT_ROW", 0 if long_rows else 1024)
        out = attention(inputs, lengths, is_causal=causal, sliding_window=window)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("lengths", [[8, 8], [3, 5, 1]], ids=["full rows", "packed rows"])
@pytest.mark.parametrize("causal", [False, True])
def test_gradient_equals_finite_differences(lengths: list[int], causal: bool) -> None:
    inputs = qkv(lengths, heads=(2, 1), size=2)
    assert torch.autograd.gradcheck(lambda *x: attention(x, lengths, is_causal=causal), inputs)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("causal", [False, True])
def test_full_rows_without_a_bias(causal: bool) -> None:
    inputs = qkv([16, 16])
    expected = written_out(*inputs, [16, 16], scaling=0.5, causal=causal)
    out = attention(inputs, [16, 16], is_causal=causal)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(out, inputs), gradients(expected, inputs), rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("path")
def test_the_module_says_whether_it_looks_back_only_unless_the_call_does() -> None:
    causal = nn.Identity()
    vars(causal)["is_causal"] = True
    inputs = qkv(LENGTHS)
    backwards, both_ways = (attention(inputs, LENGTHS, is_causal=is_causal) for is_causal in (True, False))
    assert torch.equal(attention(inputs, LENGTHS, causal), backwards)
    assert torch.equal(attention(inputs, LENGTHS, causal, is_causal=False), both_ways)
    assert torch.equal(attention(inputs, LENGTHS), both_ways)
    assert not torch.equal(backwards, both_ways)


@pytest.mark.usefixtures("path")
def test_no_text_changes_another() -> None:
    inputs = qkv(LENGTHS)
    before = attention(inputs, LENGTHS)
    others = [x.detach().clone() for x in inputs]
    for x in others:
        x[:, :, 9:11] = 100.0
    after = attention(tuple(others), LENGTHS)
    assert torch.equal(before[:, :9], after[:, :9]) and torch.equal(before[:, 11:], after[:, 11:])
    assert not torch.equal(before[:, 9:11], after[:, 9:11])


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    inputs = qkv(LENGTHS, dtype=dtype)
    exact = tuple(x.detach().double().requires_grad_() for x in inputs)
    out, expected = attention(inputs, LENGTHS), attention(exact, LENGTHS)
    assert out.dtype == dtype
    for ours, theirs in zip(
        (out, *gradients(out, inputs)), (expected, *gradients(expected, exact)), strict=True
    ):
        assert ours.dtype == dtype
        assert (ours.double() - theirs).norm() / theirs.norm() < 0.02


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("backward_inside", [True, False])
def test_values_of_another_precision_than_queries_and_keys(backward_inside: bool) -> None:
    """Under autocast Qwen3's norms of queries and keys give float32, its values are bfloat16."""
    exact = qkv(LENGTHS)
    inputs = tuple(
        x.detach().to(dtype).requires_grad_()
        for x, dtype in zip(exact, (torch.float32, torch.float32, torch.bfloat16), strict=True)
    )
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(inputs, LENGTHS)
        found = gradients(out, inputs) if backward_inside else ()
    found = found or gradients(out, inputs)
    expected = attention(exact, LENGTHS)
    for ours, theirs in zip((out, *found), (expected, *gradients(expected, exact)), strict=True):
        assert (ours.double() - theirs).norm() / theirs.norm() < 0.02


@pytest.mark.usefixtures("path")
def test_dropout_comes_back_by_the_seed() -> None:
    inputs = qkv(LENGTHS, dtype=torch.float32)
    results = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        out = attention(inputs, LENGTHS, dropout=0.4)
        results.append((out, *gradients(out, inputs)))
    first, again, other = results
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(first, other, strict=True))


def probabilities(inputs: tuple[Tensor, ...], dropout: float) -> Tensor:
    """(H, T, T): with one-hot values the result of token i is what it takes from each j."""
    query, key, _ = inputs
    one_hot = torch.eye(query.shape[-1]).expand_as(query)
    return attention((query, key, one_hot), LENGTHS, dropout=dropout)[0].transpose(0, 1)


@pytest.mark.parametrize("causal", [False, True])
def test_dropout_and_its_gradient_equal_a_plain_mask_on_the_probabilities(causal: bool) -> None:
    num_tokens = sum(LENGTHS)
    inputs = qkv(LENGTHS, size=num_tokens, dtype=torch.float32)
    query, key, value = inputs
    text = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    seen = text[:, None] == text
    if causal:
        seen = seen.tril()
    with torch.no_grad():
        torch.manual_seed(3)
        mask = probabilities(inputs, dropout=0.25) / probabilities(inputs, dropout=0.0)
    mask = mask.nan_to_num()
    kept = mask[:, seen]
    assert torch.all((kept.abs() < 1e-6) | ((kept - 4 / 3).abs() < 1e-4))
    assert 0.1 < (kept < 1).double().mean() < 0.4

    scores = query[0] @ key[0].transpose(1, 2) * num_tokens**-0.5
    p = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    expected = (p * mask @ value[0]).transpose(0, 1)[None]
    torch.manual_seed(3)
    out = attention(inputs, LENGTHS, dropout=0.25, is_causal=causal)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients(out, inputs), gradients(expected, inputs), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("path")
def test_dropout_of_nothing_changes_nothing() -> None:
    inputs = qkv(LENGTHS, dtype=torch.float32)
    assert torch.equal(attention(inputs, LENGTHS, dropout=0.0), attention(inputs, LENGTHS))


@pytest.mark.parametrize("option", ["softcap", "s_aux", "position_bias"])
def test_what_would_change_the_result_is_refused(option: str) -> None:
    inputs = qkv(LENGTHS)
    given_it: dict[str, Any] = {option: 50.0}
    given_table: dict[str, Any] = {option: torch.ones(3, 4)}
    not_given_it: dict[str, Any] = {option: None}
    with pytest.raises(ValueError, match=f"has no {option}, got 50.0; set encoder.packs = False"):
        attention(inputs, LENGTHS, **given_it)
    with pytest.raises(ValueError, match=rf"has no {option}, got one of shape \(3, 4\); set encoder"):
        attention(inputs, LENGTHS, **given_table)
    assert torch.equal(attention(inputs, LENGTHS, **not_given_it), attention(inputs, LENGTHS))


def test_without_a_packing_it_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"must be a Packing, got None; call the encoder and not"):
        attend(nn.Identity(), *qkv([3]), None)


def test_under_autocast_everything_is_in_its_precision() -> None:
    """Where a backbone gives float32 values all the same."""
    inputs = qkv(LENGTHS, dtype=torch.float32)
    expected = attention(inputs, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(inputs, LENGTHS)
    assert out.dtype == torch.bfloat16
    assert 0 < (out.float() - expected).norm() / expected.norm() < 0.02


@pytest.mark.parametrize("lengths", [[1030], [1027, 1027]])
def test_long_texts_that_fill_their_rows_need_no_numbers_of_who_sees_whom(
    lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bias of 1,000 texts of 8,192 tokens would have 250 GiB; PyTorch knows what looking back is."""
    plain, seen = functional.scaled_dot_product_attention, []

    def spy(*inputs: Any, **options: Any) -> Tensor:
        seen.append((options["attn_mask"] is None, options["is_causal"], tuple(inputs[0].shape)))
        return plain(*inputs, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", spy)
    inputs = qkv(lengths, dtype=torch.float32)
    for causal in (False, True):
        attention(inputs, lengths, is_causal=causal)
    shape = (len(lengths), 2, lengths[0], 4)
    assert seen == [(True, False, shape), (True, True, shape)]
    attention(inputs, lengths, is_causal=True, sliding_window=5)
    assert seen[2] == (False, False, shape)


@pytest.mark.parametrize(
    ("capability", "widest"),
    [((7, 5), 0), ((8, 0), 256), ((8, 6), 192), ((8, 9), 192), ((9, 0), 256), ((10, 0), 256), ((12, 0), 192)],
)
def test_how_wide_heads_may_be(
    capability: tuple[int, int], widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert widest_flash_head(torch.device("cuda", 0)) == widest


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"dtype": torch.float16, "head_dimension": 256}, True),
        ({"dtype": torch.float32}, False),
        ({"dtype": torch.float64}, False),
        ({"head_dimension": 60}, False),
        ({"head_dimension": 264}, False),
        ({"head_dimension": 256, "widest_head": 192}, False),
        ({"widest_head": 0}, False),
    ],
)
def test_what_flash_attention_can_do(changed: dict[str, Any], expected: bool) -> None:
    usual: dict[str, Any] = {"dtype": torch.bfloat16, "head_dimension": 64, "widest_head": 256}
    assert _attention._fits_flash(**usual | changed) == expected
