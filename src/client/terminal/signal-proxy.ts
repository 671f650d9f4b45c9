/** Passes the signals that this process gets on to the container, until disposed. */

/** Not among them: what the kernel or the runtime sends for its own reasons, and what cannot be caught. */
const PASSED_ON = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGCONT',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
] as const;
/** So many interrupts or terminations end the client itself: the container may ignore them. */
const INSISTENT = 3;

export function proxySignals(kill: (signal: string) => Promise<void>, giveUp: (message: string) => void): Disposable {
  let insisted = 0;
  const passOn = (signal: NodeJS.Signals) => {
    // A refused signal is no failure of the command: the container may have just ended.
    kill(signal.slice('SIG'.length)).catch(() => undefined);
    if (signal === 'SIGINT' || signal === 'SIGTERM') insisted++;
    if (insisted >= INSISTENT) giveUp(`got ${INSISTENT} SIGTERM/SIGINTs, forcefully exiting`);
  };
  for (const signal of PASSED_ON) process.on(signal, passOn);
  return {
    [Symbol.dispose]() {
      for (const signal of PASSED_ON) process.off(signal, passOn);
    },
  };
}
