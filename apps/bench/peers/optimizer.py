"""Optimiser steps in plain PyTorch, float32: torch.optim.AdamW, and Muon with an auxiliary AdamW.

inputs: `weight<i>` and `gradient<i>` of each parameter, matrices [in, out]. params: `optimizer` ('adamW' or 'muon'),
`steps` (steps in one execution; step k uses the gradients times `gradientScales[k mod length]`), AdamW's `learningRate`,
`beta1`, `beta2`, `epsilon`, and for Muon `routes` ('muon' or 'adamW' a parameter), `scales` (factor of the update of
each parameter), `muonLearningRate`, `momentum`.
"""
import torch

from newton_schulz import muon as orthogonalize


class Muon:
    """Momentum as an exponential average, Nesterov, five Newton-Schulz steps, no weight decay."""

    def __init__(self, weights, scales, learning_rate, momentum):
        self.weights = weights
        self.scales = scales
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.buffers = [torch.zeros_like(weight) for weight in weights]

    def step(self):
        for weight, buffer, scale in zip(self.weights, self.buffers, self.scales):
            buffer.lerp_(weight.grad, 1 - self.momentum)
            update = weight.grad.lerp(buffer, self.momentum)
            weight.add_(orthogonalize(update, 5), alpha=-self.learning_rate * scale)


def prepare(inputs, params):
    count = len(inputs) // 2
    weights = [inputs[f'weight{i}'].requires_grad_() for i in range(count)]
    scales = params['gradientScales']
    gradients = [[inputs[f'gradient{i}'] * scale for i in range(count)] for scale in scales]
    is_muon = params['optimizer'] == 'muon'
    matrices = [i for i in range(count) if is_muon and params['routes'][i] == 'muon']
    rest = [weights[i] for i in range(count) if i not in matrices]
    optimizers = []
    if matrices:
        optimizers.append(
            Muon(
                [weights[i] for i in matrices],
                [params['scales'][i] for i in matrices],
                params['muonLearningRate'],
                params['momentum'],
            )
        )
    if rest:
        optimizers.append(
            torch.optim.AdamW(
                rest,
                lr=params['learningRate'],
                betas=(params['beta1'], params['beta2']),
                eps=params['epsilon'],
                weight_decay=0,
            )
        )
    taken = 0

    def run():
        nonlocal taken
        for _ in range(params['steps']):
            for weight, gradient in zip(weights, gradients[taken % len(gradients)]):
                weight.grad = gradient
            for optimizer in optimizers:
                optimizer.step()
            taken += 1
        return weights

    return run
