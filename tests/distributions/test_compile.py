"""Steps with distributions are recorded, and give eager mode's numbers bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight
from rushlight import nn, optim
from rushlight.nn import functional as F


def D():
    return rushlight.distributions


def train(make, compiled, steps=6):
    """Losses of some steps, and the parameters afterwards. `make()` gives (modules, loss of a batch)."""
    rushlight.manual_seed(0)
    modules, loss_of = make()
    optimizer = optim.Adam([p for m in modules for p in m.parameters()], lr=1e-2)

    def step(*batch):
        optimizer.zero_grad()
        loss = loss_of(*batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = rushlight.compile(step, fullgraph=True) if compiled else step
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        batch = [rushlight.from_numpy(x.astype(np.float32)) for x in (rng.uniform(0, 1, (8, 6)), rng.standard_normal(8))]
        losses.append(run(*batch).item())
    return losses, [p.detach().numpy().copy() for m in modules for p in m.parameters()], rushlight.get_rng_state().numpy().copy()


def reinforce():
    """The policy gradient of actions drawn in the step."""
    policy = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))

    def loss(states, returns):
        actions = D().Categorical(logits=policy(states))
        taken = actions.sample()
        return -(actions.log_prob(taken) * returns).mean() - 0.01 * actions.entropy().mean()

    return [policy], loss


def reinforce_probs():
    """The same with probabilities."""
    policy = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4), nn.Softmax(-1))

    def loss(states, returns):
        actions = D().Categorical(policy(states))
        return -(actions.log_prob(actions.sample()) * returns).mean()

    return [policy], loss


def vae():
    """A variational autoencoder's lower bound."""
    encoder, decoder = nn.Linear(6, 6), nn.Linear(3, 6)

    def loss(x, _):
        mean, spread = encoder(x).chunk(2, -1)
        posterior = D().Normal(mean, F.softplus(spread))
        prior = D().Normal(rushlight.zeros_like(mean), rushlight.ones_like(mean))
        seen = D().Bernoulli(logits=decoder(posterior.rsample()))
        return -seen.log_prob((x > 0.5).float()).sum(-1).mean() + D().kl_divergence(posterior, prior).sum(-1).mean()

    return [encoder, decoder], loss


def sac():
    """Soft actor-critic's actor: a squashed normal action and its density."""
    actor, critic = nn.Linear(6, 4), nn.Linear(8, 1)

    def loss(x, _):
        mean, log_std = actor(x).chunk(2, -1)
        base = D().Normal(mean, log_std.clamp(-5, 2).exp())
        policy = D().Independent(D().TransformedDistribution(base, [D().TanhTransform(cache_size=1)]), 1)
        action = policy.rsample()
        return (0.2 * policy.log_prob(action) - critic(rushlight.cat([x, action], -1)).squeeze(-1)).mean()

    return [actor, critic], loss


def ppo():
    """A clipped ratio of densities of continuous actions, with an entropy bonus."""
    actor = nn.Linear(6, 2)
    spread = nn.Linear(1, 2, bias=False)

    def loss(x, advantages):
        policy = D().Independent(D().Normal(actor(x), F.softplus(spread.weight.squeeze(-1))), 1)
        old = D().Independent(D().Normal(x[:, :2], 1.0), 1)
        action = old.sample()
        ratio = (policy.log_prob(action) - old.log_prob(action)).exp()
        gain = rushlight.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
        return -gain.mean() - 0.01 * policy.entropy().mean()

    return [actor, spread], loss


def gammas():
    """Draws with implicit gradients, and others."""
    net = nn.Linear(6, 6)

    def loss(x, _):
        a = F.softplus(net(x)) + 0.1
        d = D()
        total = d.Gamma(a, a + 1).rsample().mean() + d.Beta(a, a + 1).rsample().mean() + d.Dirichlet(a).rsample().pow(2).mean()
        total = total + d.StudentT(a + 1, a, a).rsample().tanh().mean() + d.Laplace(a, a).rsample().mean() + d.Gumbel(a, a).rsample().mean()
        total = total + d.Exponential(a).rsample().mean() + d.RelaxedBernoulli(a + 0.5, logits=a).rsample().mean()
        total = total + d.RelaxedOneHotCategorical(rushlight.ones(1), logits=a).rsample().pow(2).mean()
        total = total + d.Poisson(a).log_prob(d.Poisson(a).sample()).mean() + d.kl_divergence(d.Gamma(a, a), d.Gamma(a + 1, a)).mean()
        total = total + d.MixtureSameFamily(d.Categorical(logits=a), d.Normal(a, a)).log_prob(x[:, 0]).mean()
        total = total + d.OneHotCategoricalStraightThrough(logits=a).rsample().pow(2).mean() + d.LogNormal(a, 0.1).rsample().log().mean()
        return total + d.Binomial(5, logits=a).log_prob(d.Binomial(5, logits=a).sample()).mean() + d.Uniform(a, a + 1).rsample().mean()

    return [net], loss


@pytest.mark.parametrize("make", [reinforce, reinforce_probs, vae, sac, ppo, gammas], ids=lambda f: f.__name__)
def test_step(make):
    """Losses, parameters and the generator's state are eager mode's."""
    eager, compiled = train(make, False), train(make, True)
    assert compiled[0] == eager[0]
    for a, b in zip(compiled[1], eager[1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(compiled[2], eager[2])


def test_outside():
    """A distribution that the step finds made may work out its logits in each repetition, and keeps none of them."""
    prior = D().Categorical(rushlight.tensor([0.2, 0.3, 0.5]))
    policy = nn.Linear(6, 3)

    def loss(x):
        return D().kl_divergence(D().Categorical(logits=policy(x)), prior).mean()

    step = rushlight.compile(loss, fullgraph=True)
    x = rushlight.rand(4, 6)
    assert [step(x).item() for _ in range(4)] == [loss(x).item()] * 4


def test_checks_repeat():
    """Arguments are checked whenever a step is repeated, with PyTorch's exception."""

    def step(scale, value):
        return D().Normal(0.0, scale).log_prob(value).sum()

    run = rushlight.compile(step, fullgraph=True)
    good, bad = rushlight.tensor([1.0, 2.0]), rushlight.tensor([1.0, -2.0])
    value, nan = rushlight.tensor([0.5, 1.0]), rushlight.tensor([0.5, float("nan")])
    for _ in range(4):
        run(good, value)
    with pytest.raises(ValueError, match=r"Expected parameter scale \(Tensor of shape \(2,\)\) of distribution Normal to satisfy"):
        run(bad, value)
    with pytest.raises(ValueError, match=r"Expected value argument \(Tensor of shape \(2,\)\) to be within the support \(Real\)"):
        run(good, nan)
    assert run(good, value).item() == step(good, value).item()


REFUSED = {
    "how many draws are rejected": lambda x: D().VonMises(x, x + 1).sample(),
    "how many values there are": lambda x: D().Binomial((x.sum() * 5).floor(), x[0]).entropy(),
    "LAPACK, not a kernel": lambda x: D().MultivariateNormal(x, rushlight.eye(4)).log_prob(x),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(why):
    """What depends on values in Python, or on NumPy, cannot be recorded, and says so."""
    run = rushlight.compile(REFUSED[why], fullgraph=True)
    with pytest.raises(RuntimeError, match="cannot be compiled"):
        for _ in range(3):
            run(rushlight.linspace(0.1, 0.9, 4))
