"""A training step of the race's byte-level GPT, written in plain PyTorch as apps/race has it, float32.

inputs: `weight<i>` in the order of `Gpt.variables` (matrices [in, out]), `inputs` and `targets` [batch * length] as floats.
params: `layers`, `heads`, `length`, `muon` (indices of the weights that Muon takes), `learningRate`, `weightDecay`,
`momentum`, `beta1`, `beta2`, `epsilon`, `steps` (training steps in one execution; the result is the loss before the last).
"""
import math

import torch
import torch.nn.functional as F

from newton_schulz import muon as orthogonalize


def rms_norm(x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def logits(weights, tokens, layers, heads, length):
    token_embedding, position_embedding, *rest = weights
    batch = tokens.numel() // length
    width = token_embedding.shape[1]
    x = token_embedding[tokens].view(batch, length, width) + position_embedding[:length]
    x = x.view(batch * length, width)
    mask = torch.full((length, length), -1e9).triu(1)

    def split(y):
        return y.view(batch, length, heads, width // heads).transpose(1, 2)

    for layer in range(layers):
        query, key, value, output, up, down = rest[6 * layer : 6 * layer + 6]
        h = rms_norm(x)
        scores = split(h @ query / math.sqrt(width // heads)) @ split(h @ key).transpose(-2, -1)
        mixed = torch.softmax(scores + mask, -1) @ split(h @ value)
        x = x + mixed.transpose(1, 2).reshape(batch * length, width) @ output
        x = x + torch.relu(rms_norm(x) @ up).square() @ down
    return rms_norm(x) @ rest[-1]


class Muon:
    """Nesterov momentum, orthogonalised; the update's root mean square is brought to that of AdamW."""

    def __init__(self, weights, params):
        self.weights = weights
        self.params = params
        self.buffers = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def step(self):
        rate, momentum = self.params['learningRate'], self.params['momentum']
        for weight, buffer in zip(self.weights, self.buffers):
            buffer.lerp_(weight.grad, 1 - momentum)
            update = orthogonalize(weight.grad.lerp(buffer, momentum), 5)
            weight.mul_(1 - rate * self.params['weightDecay'])
            weight.add_(update, alpha=-rate * 0.2 * math.sqrt(max(weight.shape)))


def prepare(inputs, params):
    count = sum(name.startswith('weight') for name in inputs)
    weights = [inputs[f'weight{i}'].requires_grad_() for i in range(count)]
    tokens, targets = inputs['inputs'].long(), inputs['targets'].long()
    matrices = [weights[i] for i in params['muon']]
    others = [weights[i] for i in range(count) if i not in params['muon']]
    adam = torch.optim.AdamW(
        others,
        lr=params['learningRate'],
        betas=(params['beta1'], params['beta2']),
        eps=params['epsilon'],
        weight_decay=params['weightDecay'],
    )
    muon = Muon(matrices, params)

    @torch.enable_grad()
    def step():
        for weight in weights:
            weight.grad = None
        scores = logits(weights, tokens, params['layers'], params['heads'], params['length'])
        loss = F.cross_entropy(scores, targets)
        loss.backward()
        muon.step()
        adam.step()
        return loss.detach()

    def run():
        for _ in range(params['steps']):
            loss = step()
        return [loss.reshape(1)]

    return run
