/**
 * How eagerly functions are compiled; each thread has a policy of its own. The executable starts with a reluctant one
 * (`jitPolicy` in tools/build.ts): a command that runs for 20 ms spent a third of its processor time on compiling functions
 * that it called a few times. Daemon and monitor stay with it: compiled code of what is called once a container cost
 * them 15 MB and saved no time; loops and whatever is called thousands of times are still compiled.
 */
const RELUCTANT = 100;

/** For threads and streams that move much data. */
export function ordinaryJit(): void {
  Bun.unsafe.setJITPolicy(1);
}

/** What the executable starts with; from source the runtime starts with the ordinary policy. */
export function reluctantJit(): void {
  Bun.unsafe.setJITPolicy(RELUCTANT);
}
