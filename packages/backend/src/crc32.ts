let table: Uint32Array | undefined;

/**
 * CRC-32 (IEEE 802.3) of bytes, as zip, gzip and PNG have it: tells damaged saved state from whole.
 *
 * @param bytes - what is to be checked, of any length
 * @returns an unsigned 32-bit integer
 */
export function crc32(bytes: Uint8Array): number {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    return c;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = table[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
