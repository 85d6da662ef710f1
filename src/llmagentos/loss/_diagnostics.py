"""Four numbers that show whether embeddings learn or collapse, beside the loss.

The loss alone does not tell: it can fall while all vectors crowd into a cone or a few dimensions.
All four take embeddings of any length, need no gradient and cost far less than a training step on
the 512 to 2,048 rows that are usual.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


@torch.no_grad()
def alignment(h_a: Float[Tensor, "n d"], h_b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean squared distance between the two unit vectors of each positive pair; lower is better.

        mean over k of |z_a,k - z_b,k|^2

    Args:
        h_a: First views, float (N, D).
        h_b: Second views, float (N, D).

    Returns:
        Scalar in [0, 4]: 0 when views agree, also at collapse; 2 at chance (independent directions).

    Source: Wang and Isola 2020, Understanding Contrastive Representation Learning, equation 1
    (alpha = 2).

    Example:
        >>> alignment(torch.eye(2), torch.eye(2).flip(0)).item()
        2.0
    """
    return (functional.normalize(h_a, dim=1) - functional.normalize(h_b, dim=1)).square().sum(1).mean()


@torch.no_grad()
def uniformity(h: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """How evenly unit vectors cover the sphere; lower is better.

        log of the mean over pairs i < j of exp(-2 |z_i - z_j|^2)

    Args:
        h: Embeddings of N >= 2 different texts, float (N, D).

    Returns:
        Scalar in [-8, 0], in nats: 0 at collapse (all vectors equal); about -4 + 8 / D at chance
        (independent directions); trained encoders lie between -2 and -3.9.

    Source: Wang and Isola 2020, equation 2 (t = 2).

    Example:
        >>> uniformity(torch.ones(3, 2)).item()
        0.0
        >>> round(uniformity(torch.eye(3)).item(), 4)
        -4.0
    """
    return functional.pdist(functional.normalize(h.float(), dim=1)).square().mul(-2).exp().mean().log()


@torch.no_grad()
def effective_rank(h: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Number of dimensions that the embeddings really use.

        exp of the entropy of the singular values of the unit vectors, scaled to sum 1

    Args:
        h: Embeddings, float (N, D).

    Returns:
        Scalar in [1, min(N, D)]: 1 at collapse; close to min(N, D) at chance when N >> D or N << D.

    Source: Roy and Vetterli 2007, The Effective Rank, definition 1.

    Example:
        >>> round(effective_rank(torch.eye(4)).item(), 4), round(effective_rank(torch.ones(4, 4)).item(), 4)
        (4.0, 1.0)
    """
    z = functional.normalize(h.double(), dim=1)
    # The eigenvalues of the smaller Gram matrix are the squared singular values, several times
    # cheaper than the decomposition itself. In float32 their noise alone would add a dimension.
    gram = z.T @ z if len(z) > z.shape[1] else z @ z.T
    singular: Tensor = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    p = singular / singular.sum()
    rank: Tensor = torch.special.entr(p).sum().exp()
    return rank.to(h.dtype)


@torch.no_grad()
def dimension_deviation(h: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Standard deviation of one coordinate of the unit vectors, times sqrt(D), averaged over coordinates.

    Args:
        h: Embeddings of N >= 2 different texts, float (N, D).

    Returns:
        Scalar in [0, about 1]: 0 at collapse; 1 at chance (independent directions).

    Source: Chen and He 2021, Exploring Simple Siamese Representation Learning, section 4.1.

    Example:
        >>> dimension_deviation(torch.ones(4, 8)).item()
        0.0
        >>> round(dimension_deviation(torch.cat((torch.eye(2), -torch.eye(2)))).item(), 4)
        1.0
    """
    deviation: Tensor = functional.normalize(h, dim=1).std(0, correction=0).mean()
    return deviation * math.sqrt(h.shape[1])
