/** The same small list on every backend, one file an area. */
import './conformance/conjugate.js';
import './conformance/learned.js';
