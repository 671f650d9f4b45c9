/**
 * docker-init: the one program of ours that runs inside a container, and only with --init. The bytes are a whole static
 * ELF file, assembled from init-x64.S; a test compares them. It is bound read-only at /sbin/docker-init and started as
 * `/sbin/docker-init -- COMMAND…`.
 */
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { notImplemented } from '#errdefs/errors.ts';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';

const X64 = `
  7f454c4602010100000000000000000002003e00010000008000400000000000400000000000000000000000000000000000000040003800
  010000000000000001000000050000000000000000000000000040000000000000004000000000004d030000000000004d03000000000000
  001000000000000007fbffbfffffffff488b1c244c8d6424104c8d6cdc10498b04244885c00f843b0200008b0881e1ffffff0081f92d2d00
  0075044983c40849833c24000f841c0200004881ec20200000488d35b0ffffff4889e2e83c0200004531ffbf1100000031f631d24531d245
  31c0b8380000000f0585c00f88e50100000f84820000004189c6488d3d77ffffff31f631d241ba08000000b8800000000f0585c078e483f8
  11740e4489f789c6b83e0000000f05ebd1bfffffffff488d742408ba010000004531d2b83d0000000f0585c07e264439f075de8b44240889
  c183e17f0fb6c44189c77407448db9800000004181cf00010000ebbd4585ff74894489ffe95601000031ff31f6b86d0000000f05b8270000
  000f058944240831ffbe10540000488d542408b8100000000f054889e631d2e860010000498b3c244889f98a0148ffc13c2f0f84bb000000
  84c075ef803f00b8feffffff0f84ae0000004c89ea488b324883c208488d1d3c0100004885f67412813e5041544875e5807e043d75df488d
  5e05bdfeffffff488d7c24104c8d8424002000004889f98a0384c074133c3a740f880748ffc348ffc74c39c7734eebe74839cf7406c6072f
  48ffc7498b34244c39c773388a06880748ffc648ffc784c075ed488d7c2410e88900000083f8f3750489c5eb0a83f8fe740583f8ec751980
  3b00488d5b01758f89e8eb0cb8dcffffffeb05e85d000000bf7f00000083f8fe740cffcf83f8f37405bf010000004189ffbf02000000488d
  3590000000ba18000000b8010000000f05498b342431d2ffc2807c16ff0075f7c64416ff0ab8010000000f054489ffb8e70000000f05bf01
  000000ebf24c89e64c89eab83b0000000f0583f8f8751c49893c24488d3d3300000049897c24f8498d7424f8b83b0000000f05c3bf020000
  0041ba08000000b80e0000000f05c32f62696e3a2f7573722f62696e002f62696e2f736800646f636b65722d696e69743a2063616e6e6f74
  2072756e20
`;

/** The ELF file for this machine. Errors: not-implemented on another architecture than x86-64. */
export function dockerInit(arch: string = process.arch): Uint8Array {
  if (arch !== 'x64') throw notImplemented(`Cannot use --init: there is no docker-init for ${arch} yet`);
  return Uint8Array.from(Buffer.from(X64.replaceAll(/\s/g, ''), 'hex'));
}

/** Puts docker-init into `directory` when it is not there as it should be; its path. */
export function installDockerInit(directory: string): string {
  const path = `${directory}/docker-init`;
  const bytes = dockerInit();
  if (isThere(path, bytes)) return path;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileAtomic(path, bytes, { mode: 0o555, durable: false });
  chmodSync(path, 0o555); // whatever the umask
  return path;
}

function isThere(path: string, bytes: Uint8Array): boolean {
  try {
    return Buffer.compare(readFileSync(path), bytes) === 0;
  } catch {
    return false; // absent or unreadable: written anew
  }
}
