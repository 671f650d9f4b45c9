/** The job of a restart policy: a token of its own, so that `berth jobs` shows what the daemon does unasked. */
import { defineJob } from '#engine/engine.ts';

/** Starts a container that is `restarting`; nothing to do when somebody was faster. */
export const policyRestart = defineJob<{ container: string }, void>('container.policy-restart');
