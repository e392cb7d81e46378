"""A convolution with padding 'same', or both of its gradients, float32.

Inputs are tfjs's: `x` [batch, height, width, in], `filter` [height, width, in, out], `dy` like the output. They are brought
to PyTorch's own order before the timing.
"""
import torch


def prepare(inputs, params):
    x = inputs['x'].permute(0, 3, 1, 2).contiguous()
    weight = inputs['filter'].permute(3, 2, 0, 1).contiguous()
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    if params['pass'] == 'forward':
        return lambda: [torch.nn.functional.conv2d(x, weight, padding=padding).permute(0, 2, 3, 1)]
    dy = inputs['dy'].permute(0, 3, 1, 2).contiguous()
    ones = (1, 1)

    def backward():
        dx, dw, _ = torch.ops.aten.convolution_backward(
            dy, x, weight, None, ones, padding, ones, False, (0, 0), 1, (True, True, False)
        )
        return [dx.permute(0, 2, 3, 1), dw.permute(2, 3, 1, 0)]

    return backward
