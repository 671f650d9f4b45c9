/** CRC-64 of ECMA-182, reflected, as .xz files carry it: two halves, since numbers here are exact to 53 bits. */
const POLYNOMIAL = 0xc96c_5795_d787_0f42n;

let tables: { readonly low: Int32Array; readonly high: Int32Array } | undefined;

function tablesOf(): { readonly low: Int32Array; readonly high: Int32Array } {
  if (tables !== undefined) return tables;
  tables = { low: new Int32Array(256), high: new Int32Array(256) };
  for (let byte = 0; byte < 256; byte++) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) value = (value & 1n) === 0n ? value >> 1n : (value >> 1n) ^ POLYNOMIAL;
    tables.low[byte] = Number(BigInt.asIntN(32, value));
    tables.high[byte] = Number(BigInt.asIntN(32, value >> 32n));
  }
  return tables;
}

export class Crc64 {
  #low = -1;
  #high = -1;

  update(bytes: Uint8Array): void {
    const { low: lows, high: highs } = tablesOf();
    let low = this.#low;
    let high = this.#high;
    for (let i = 0; i < bytes.length; i++) {
      const index = (low ^ (bytes[i] ?? 0)) & 255;
      low = ((low >>> 8) | (high << 24)) ^ (lows[index] ?? 0);
      high = (high >>> 8) ^ (highs[index] ?? 0);
    }
    this.#low = low;
    this.#high = high;
  }

  /** Eight bytes, the lowest first. */
  digest(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeInt32LE(~this.#low, 0);
    bytes.writeInt32LE(~this.#high, 4);
    return bytes;
  }
}
