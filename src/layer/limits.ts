/**
 * Limits of containers' layers by project quota: the id is taken and recorded before the directories get it, and given
 * back when the layer is gone. Files of a removed layer that still wait to be deleted keep the id from being taken again.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import type { ProjectIds } from '#graphdb/project-ids.ts';
import { open, type OwnedFd, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { clearProjectQuota, isUnusedProject, projectQuotaProblem, setProjectQuota } from '#sys/project-quota.ts';

const PREFIX = 'layer/';

function openDirectory(path: string): OwnedFd {
  return ownedFd(open(path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
}

export class LayerLimits {
  readonly #home: string;
  readonly #projects: ProjectIds;

  /** `home`: a directory of the file system that holds the layers. */
  constructor(home: string, projects: ProjectIds) {
    this.#home = home;
    this.#projects = projects;
  }

  /** Errors: invalid-parameter naming what is missing, as far as possible in dockerd's words. */
  assertPossible(): void {
    using home = openDirectory(this.#home);
    const problem = projectQuotaProblem(home.fd);
    if (problem === undefined) return;
    throw invalidParameter(
      `--storage-opt is supported only for overlay over ext4 or xfs with project quota: ${problem}`,
    );
  }

  /** Limits what will be written into new, empty directories of the container, in all. */
  directoryLimit(containerId: string, bytes: number): (directory: string) => void {
    this.assertPossible();
    return (path) => {
      using directory = openDirectory(path);
      const project = this.#projects.take(PREFIX + containerId, (id) => isUnusedProject(directory.fd, id));
      setProjectQuota(directory.fd, project, bytes);
    };
  }

  /** Idempotent. */
  release(containerId: string): void {
    const project = this.#projects.of(PREFIX + containerId);
    if (project === undefined) return;
    using home = openDirectory(this.#home);
    clearProjectQuota(home.fd, project);
    this.#projects.release(PREFIX + containerId);
  }

  /** Releases what belongs to no container any more. */
  sweep(containers: ReadonlySet<string>): void {
    for (const owner of this.#projects.owners()) {
      const containerId = owner.slice(PREFIX.length);
      if (owner.startsWith(PREFIX) && !containers.has(containerId)) this.release(containerId);
    }
  }
}
