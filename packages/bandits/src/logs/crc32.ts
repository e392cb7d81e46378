import { crc32 as ofBytes } from '@orth/backend';

const encoder = new TextEncoder();

/** CRC-32 of a text's UTF-8 bytes, as eight hexadecimal digits. */
export function crc32(text: string): string {
  return ofBytes(encoder.encode(text)).toString(16).padStart(8, '0');
}
