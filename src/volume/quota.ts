/** `size=` of local volumes: a project quota on the volume's directory, where the file system has such. */
import { invalidParameter } from '#errdefs/errors.ts';
import type { ProjectIds } from '#graphdb/project-ids.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import {
  clearProjectQuota,
  isUnusedProject,
  projectOf,
  projectQuotaProblem,
  setProjectQuota,
} from '#sys/project-quota.ts';

const ownerOf = (owner: string): string => `volume/${owner}`;

export class VolumeQuota {
  readonly #root: string;
  readonly #ids: ProjectIds;

  constructor(root: string, ids: ProjectIds) {
    this.#root = root;
    this.#ids = ids;
  }

  /** Errors: invalid-parameter, in dockerd's words and with the reason. */
  assertPossible(name: string): void {
    using root = this.#open(this.#root);
    const problem = projectQuotaProblem(root.fd);
    if (problem === undefined) return;
    throw invalidParameter(`create ${name}: quota size requested but no quota support: ${problem}`);
  }

  /** Limits the directory, unless it is limited already. Preconditions: it is empty then. */
  limit(owner: string, directory: string, bytes: number): void {
    using fd = this.#open(directory);
    const project = this.#ids.take(ownerOf(owner), (id) => isUnusedProject(fd.fd, id));
    if (projectOf(fd.fd) !== project) setProjectQuota(fd.fd, project, bytes);
  }

  /** The volume is gone. Idempotent. */
  release(owner: string): void {
    const project = this.#ids.of(ownerOf(owner));
    if (project === undefined) return;
    using root = this.#open(this.#root);
    clearProjectQuota(root.fd, project);
    this.#ids.release(ownerOf(owner));
  }

  /** At start-up: ids that a crash has left to nobody. */
  sweep(owners: ReadonlySet<string>): void {
    for (const owner of this.#ids.owners()) {
      if (owner.startsWith(ownerOf('')) && !owners.has(owner.slice(ownerOf('').length))) {
        this.release(owner.slice(ownerOf('').length));
      }
    }
  }

  #open(directory: string) {
    return ownedFd(open(directory, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
  }
}
