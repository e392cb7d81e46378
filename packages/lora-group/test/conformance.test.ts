/** Every part once on every backend, read back without blocking. */
import './conformance/lora.js';
import './conformance/msgcoop.js';
import './conformance/orthogonality.js';
