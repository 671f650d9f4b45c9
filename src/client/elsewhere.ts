/** Commands of docker's that have no meaning here: what they are, and what to use instead. */
const SWARM = 'Swarm, which Berth does not have: one machine, run well';
const COMPOSE = 'Describe services in a Compose file (berth compose up), or as systemd units (berth quadlet)';

const ELSEWHERE: Readonly<Record<string, readonly [needs: string, instead: string]>> = {
  swarm: [SWARM, COMPOSE],
  service: [SWARM, COMPOSE],
  stack: [SWARM, 'The same file works with "berth compose up", but for its deploy sections'],
  node: [SWARM, '"berth info" tells about this machine; other machines are contexts: "berth context create"'],
  config: [SWARM, 'Mount a file (--mount type=bind,readonly), or keep it as a secret: "berth secret create"'],
  plugin: [
    'plugins that are installed as images, which Berth does not run',
    'Volume and network drivers run as programs or containers that put a socket below /run/docker/plugins',
  ],
  checkpoint: ['CRIU, which Berth does not use', 'To keep files: "berth commit"; to stop and go on: "berth pause"'],
  trust: ['Notary, which docker itself has given up', 'Signatures are checked by policy.json: see docs/images.md'],
};

/** Undefined: not one of these. */
export function insteadOf(command: string, program: string): string | undefined {
  const known = Object.hasOwn(ELSEWHERE, command) ? ELSEWHERE[command] : undefined;
  if (known === undefined) return undefined;
  const [needs, instead] = known;
  return `${program}: "${program} ${command}" needs ${needs}\n${instead}\n`;
}

const FARTHEST = 2;

/** The nearest of some names, when it is near enough to have been meant. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.min(FARTHEST, Math.floor(word.length / 2)) + 1;
  for (const name of names) {
    const far = name.startsWith(word) && word.length > 1 ? 1 : distance(word, name);
    if (far < least) [best, least] = [name, far];
  }
  return best;
}

/** Insertions, deletions, replacements and exchanges of neighbours. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const at = (r: number, c: number) => rows[r]?.[c] ?? Infinity;
      const swapped =
        a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] && i > 1 && j > 1 ? at(i - 2, j - 2) + 1 : Infinity;
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(at(i - 1, j) + 1, (row[j - 1] ?? Infinity) + 1, replaced, swapped));
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? Infinity;
}
