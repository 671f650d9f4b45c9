/** What an installation consists of: files with their content, and links. Nothing is written here. */
import type { CommandTable } from '../command.ts';
import { manualPages } from '../reference/manual-pages.ts';
import { SCRIPTS } from '../completion/scripts.ts';
import service from '../../../contrib/berth.service' with { type: 'text' };
import socket from '../../../contrib/berth.socket' with { type: 'text' };
import shutdown from '../../../contrib/berth-shutdown.service' with { type: 'text' };

export type Piece =
  | { readonly kind: 'file'; readonly path: string; readonly content: string; readonly mode: number }
  /** The program itself, copied. */
  | { readonly kind: 'program'; readonly path: string }
  | { readonly kind: 'link'; readonly path: string; readonly target: string };

export const PROGRAM_PATH = '/usr/local/bin/berth';
export const UNITS = ['berth.socket', 'berth.service', 'berth-shutdown.service'] as const;

/** The same as contrib/berth-generator, whose name has no ending that could be imported. */
export const GENERATOR = `#!/bin/sh
# Install as /usr/lib/systemd/system-generators/berth-generator.
exec /usr/local/bin/berth quadlet generate "$@"
`;

const file = (path: string, content: string, mode = 0o644): Piece => ({ kind: 'file', path, content, mode });

/** `docker`: the socket and the command of docker as well. */
export async function piecesOf(
  table: CommandTable,
  options: { readonly docker: boolean; readonly systemd: boolean },
): Promise<Piece[]> {
  const pieces: Piece[] = [
    { kind: 'program', path: PROGRAM_PATH },
    ...['berthd', 'berth-oci'].map(
      (name): Piece => ({ kind: 'link', path: `/usr/local/bin/${name}`, target: 'berth' }),
    ),
    file('/usr/share/bash-completion/completions/berth', SCRIPTS['bash'] ?? ''),
    file('/usr/local/share/zsh/site-functions/_berth', SCRIPTS['zsh'] ?? ''),
    file('/usr/share/fish/vendor_completions.d/berth.fish', SCRIPTS['fish'] ?? ''),
  ];
  for (const [name, text] of await manualPages(table)) pieces.push(file(`/usr/local/share/man/man1/${name}`, text));
  if (options.systemd) {
    pieces.push(
      file('/etc/systemd/system/berth.service', service),
      file('/etc/systemd/system/berth.socket', socket),
      file('/etc/systemd/system/berth-shutdown.service', shutdown),
      file('/etc/systemd/system-generators/berth-generator', GENERATOR, 0o755),
    );
  }
  if (options.docker) {
    pieces.push(
      { kind: 'link', path: '/usr/local/bin/docker', target: 'berth' },
      { kind: 'link', path: '/run/docker.sock', target: '/run/berth.sock' },
      // /run is empty after a boot.
      file('/etc/tmpfiles.d/berth-docker.conf', 'L /run/docker.sock - - - - /run/berth.sock\n'),
    );
  }
  return pieces;
}
