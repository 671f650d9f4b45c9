/**
 * The executable starts with a reluctant JIT (`jitPolicy` in tools/build.ts): a command that runs for 20 ms spent a
 * third of its processor time on compiling functions that it called a few times. Whoever stays or moves much data calls
 * this; each thread has a policy of its own. Run from source nothing changes.
 */
export function ordinaryJit(): void {
  Bun.unsafe.setJITPolicy(1);
}
