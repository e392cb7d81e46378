"""Matrix product with transposed operands, float32."""


def prepare(inputs, params):
    a = inputs['a'].mT if params['transposeA'] else inputs['a']
    b = inputs['b'].mT if params['transposeB'] else inputs['b']
    return lambda: [a @ b]
