"""The Mann-Whitney loss over all pairs, with its gradient by autograd."""
import torch


def prepare(inputs, params):
    positives = inputs['positives'].requires_grad_()
    negatives = inputs['negatives'].requires_grad_()
    temperature = params['temperature']

    def run():
        positives.grad = None
        negatives.grad = None
        with torch.enable_grad():
            x = (negatives[None, :] - positives[:, None]) / temperature
            loss = torch.nn.functional.softplus(x).mean()
            loss.backward()
        return [loss, positives.grad, negatives.grad]

    return run
