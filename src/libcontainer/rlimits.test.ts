import { describe, expect, test } from 'bun:test';
import { RLIMIT } from '#sys/numbers.ts';
import { hardLimits, resolveLimits } from './rlimits.ts';

const text = [
  'Limit                     Soft Limit           Hard Limit           Units     ',
  'Max cpu time              unlimited            unlimited            seconds   ',
  'Max open files            1048576              1048576              files     ',
  'Max processes             96365                96365                processes ',
].join('\n');
const here = (mayRaise: boolean) => ({ hard: hardLimits(text), mayRaise });

describe('resource limits', () => {
  test('hard limits as the kernel prints them', () => {
    expect(hardLimits(text).get(RLIMIT.NOFILE)).toBe(1048576n);
    expect(hardLimits(text).get(RLIMIT.CPU)).toBe(0xffff_ffff_ffff_ffffn);
  });

  test('open files are set even when nobody asked', () => {
    expect(resolveLimits([], here(true)).limits).toEqual([{ resource: RLIMIT.NOFILE, soft: 1024n, hard: 1048576n }]);
  });

  test('without the right to raise, a limit stays and is told', () => {
    const wanted = [{ type: 'RLIMIT_NPROC', soft: 100_000, hard: 200_000 }];
    const lowered = resolveLimits(wanted, here(false));
    expect(lowered.lowered).toEqual(['RLIMIT_NPROC']);
    expect(lowered.limits).toContainEqual({ resource: RLIMIT.NPROC, soft: 96365n, hard: 96365n });
    const raised = resolveLimits(wanted, here(true));
    expect(raised.lowered).toEqual([]);
    expect(raised.limits).toContainEqual({ resource: RLIMIT.NPROC, soft: 100_000n, hard: 200_000n });
  });

  test('unlimited in JSON', () => {
    const { limits } = resolveLimits([{ type: 'RLIMIT_CORE', soft: 0, hard: 2 ** 64 }], here(true));
    expect(limits).toContainEqual({ resource: RLIMIT.CORE, soft: 0n, hard: 0xffff_ffff_ffff_ffffn });
  });

  test('nonsense is refused by name', () => {
    expect(() => resolveLimits([{ type: 'RLIMIT_X', soft: 1, hard: 1 }], here(true))).toThrow('"RLIMIT_X"');
    expect(() => resolveLimits([{ type: 'RLIMIT_CORE', soft: 2, hard: 1 }], here(true))).toThrow('greater than');
  });
});
