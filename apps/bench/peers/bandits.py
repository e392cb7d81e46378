"""Rounds of contextual bandits in plain PyTorch: choose one of K actions by its features, see its reward, learn.

inputs: `features` [rounds, K, dim], `rewards` [rounds, K], and for networks `theta` (W [dim, hidden], b, v, c in one row).
params: `policy`, one of

    linUCB       ridge regression shared by all actions, upper confidence bounds, inverse by Sherman and Morrison
    neuralUCB    a network with one hidden layer; its gradient for every arm by a backward pass of its own, as the
                 authors of NeuralUCB do it, with the diagonal of the design matrix
    neuralTrain  neuralUCB that also trains after each round, one sample a step, for `updates` steps on a history
    neuFastCB    reweighted inverse gap weighting over the network's sigmoid losses, one step of descent a round

and `count`, rounds in one execution. With `forced`, what is played is not chosen: round i plays action 7 i mod K, so that
results can be compared; outputs are then the policy's state after `count` rounds.
"""
import torch


class Net(torch.nn.Module):
    def __init__(self, theta, dim, hidden):
        super().__init__()
        self.fc1 = torch.nn.Linear(dim, hidden)
        self.fc2 = torch.nn.Linear(hidden, 1)
        w, b, v, c = torch.split(theta, [dim * hidden, hidden, hidden, 1])
        self.fc1.weight.data = w.reshape(dim, hidden).t().contiguous()
        self.fc1.bias.data = b.clone()
        self.fc2.weight.data = v.reshape(1, hidden).clone()
        self.fc2.bias.data = c.clone()

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))

    def flat(self, of):
        """Parameters, or their gradients, in the order of theta."""
        w, b, v, c = [of(p) for p in self.parameters()]
        return torch.cat([w.t().flatten(), b, v.flatten(), c])


class LinUCB:
    def __init__(self, dim):
        self.inverse = torch.eye(dim)
        self.b = torch.zeros(dim)

    def choose(self, x):
        bonus = ((x @ self.inverse) * x).sum(1).sqrt()
        return int(torch.argmax(x @ (self.inverse @ self.b) + bonus))

    def learn(self, x, action, reward):
        row = x[action]
        a = self.inverse @ row
        self.inverse -= torch.outer(a, a) / (1 + row @ a)
        self.b += reward * row

    def state(self):
        return [self.inverse @ self.b]


class NeuralUCB:
    def __init__(self, net, params):
        self.net = net
        self.lam = params['lambda']
        self.nu = params['nu']
        self.design = torch.full((sum(p.numel() for p in net.parameters()),), self.lam)

    def gradients(self, x):
        with torch.enable_grad():
            mu = self.net(x)
            for f in mu:
                self.net.zero_grad()
                f.backward(retain_graph=True)
                yield f.item(), torch.cat([p.grad.flatten().detach() for p in self.net.parameters()])

    def choose(self, x):
        scores, self.seen = [], []
        for f, g in self.gradients(x):
            self.seen.append(g)
            scores.append(f + torch.sqrt(torch.sum(self.lam * self.nu * g * g / self.design)).item())
        return scores.index(max(scores))

    def learn(self, x, action, reward):
        self.design += self.seen[action] * self.seen[action]

    def state(self):
        shapes = [p.shape for p in self.net.parameters()]
        parts = torch.split(self.design, [shape.numel() for shape in shapes])
        w = parts[0].reshape(shapes[0]).t().flatten()
        return [torch.cat([w, *parts[1:]])]


class NeuralTrain(NeuralUCB):
    def __init__(self, net, params, features, rewards):
        super().__init__(net, params)
        self.rows = list(features[:, 0, :])
        self.rewards = list(rewards[:, 0])
        self.updates = params['updates']
        self.optimizer = torch.optim.SGD(
            net.parameters(), lr=params['learningRate'], weight_decay=self.lam
        )

    def learn(self, x, action, reward):
        super().learn(x, action, reward)
        self.rows[self.at] = x[action]
        self.rewards[self.at] = reward
        order = torch.randperm(len(self.rows)).tolist()
        with torch.enable_grad():
            for step in range(self.updates):
                i = order[step % len(order)]
                self.optimizer.zero_grad()
                loss = (self.net(self.rows[i]) - self.rewards[i]) ** 2
                loss.backward()
                self.optimizer.step()

    def state(self):
        rows, rewards = torch.stack(self.rows), torch.stack(self.rewards)
        return [((self.net(rows).flatten() - rewards) ** 2).mean().reshape(1)]


class NeuFastCB:
    def __init__(self, net, params):
        self.net = net
        self.gamma = params['gamma']
        self.optimizer = torch.optim.SGD(net.parameters(), lr=params['learningRate'])

    def choose(self, x):
        y = torch.sigmoid(self.net(x).flatten())
        best = int(torch.argmin(y))
        p = y[best] / (len(y) * y[best] + self.gamma * (y - y[best]))
        p[best] = 0
        p[best] = 1 - p.sum()
        return int(torch.multinomial(p, 1))

    def learn(self, x, action, reward):
        with torch.enable_grad():
            self.optimizer.zero_grad()
            f = self.net(x[action])
            loss = torch.nn.functional.softplus(f) - (1 - reward) * f
            loss.backward()
            self.optimizer.step()

    def state(self):
        return [self.net.flat(lambda p: p.detach())]


def prepare(inputs, params):
    features, rewards = inputs['features'], inputs['rewards']
    rounds, arms, dim = features.shape

    def create():
        if params['policy'] == 'linUCB':
            return LinUCB(dim)
        net = Net(inputs['theta'], dim, params['hidden'])
        if params['policy'] == 'neuralUCB':
            return NeuralUCB(net, params)
        if params['policy'] == 'neuralTrain':
            return NeuralTrain(net, params, features, rewards)
        return NeuFastCB(net, params)

    policy = create()
    i = 0

    def run():
        nonlocal i
        for _ in range(params['count']):
            at = i % rounds
            action = policy.choose(features[at])
            if params.get('forced'):
                action = 7 * i % arms
            policy.at = at
            policy.learn(features[at], action, rewards[at, action])
            i += 1
        return policy.state() if params.get('forced') else []

    return run
