/**
 * Gradients of image resizing, for every backend: tfjs's give a wrong shape on cpu unless the image is square, and wrong
 * numbers with half-pixel centres.
 */
import {
  expandDims,
  eye,
  type GradConfig,
  image,
  matMul,
  registerGradient,
  reshape,
  type Tensor,
  type Tensor4D,
} from '@tensorflow/tfjs-core';

interface Attributes {
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
  readonly size: [number, number];
}

/**
 * Resizing is linear and separable: `Y = A X Bᵀ` for each image and channel, so the gradient is `Aᵀ dY B`. The matrices
 * come from resizing the unit vectors, hence agree with the backend's forward kernel whatever its convention.
 */
function resizeGradient(kernelName: string, resize: typeof image.resizeBilinear): GradConfig {
  return {
    kernelName,
    inputsToSave: ['images'],
    gradFunc: (dy, saved, attrs) => {
      const [images] = saved as [Tensor4D];
      const { alignCorners, halfPixelCenters } = attrs as unknown as Attributes;
      /** Weights `[to, from]` along one axis. */
      const weights = (from: number, to: number) => {
        const units = reshape(eye(from), [1, from, 1, from]) as Tensor4D;
        return expandDims(
          reshape(resize(units, [to, 1], alignCorners, halfPixelCenters), [to, from]),
          0,
        );
      };
      return {
        images: () => {
          const [n, inHeight, inWidth, channels] = images.shape;
          const [, height, width] = (dy as Tensor4D).shape;
          const rows = matMul(
            weights(inHeight, height),
            reshape(dy as Tensor, [n, height, width * channels]),
            true,
          );
          const columns = matMul(
            weights(inWidth, width),
            reshape(rows, [n * inHeight, width, channels]),
            true,
          );
          return reshape(columns, images.shape);
        },
      };
    },
  };
}

/** Registers this file's gradients in place of tfjs's. */
export function registerResizeGradients(): void {
  registerGradient(resizeGradient('ResizeBilinear', image.resizeBilinear));
  registerGradient(resizeGradient('ResizeNearestNeighbor', image.resizeNearestNeighbor));
}
