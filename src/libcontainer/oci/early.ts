/**
 * What a new container needs, asked for before the code that makes it is even loaded: a zygote, which forgets our memory
 * meanwhile, and where cgroups lie.
 */
import { type CgroupHost, detectCgroups } from '../cgroups/detect.ts';
import { OciLauncher } from './launch.ts';

export class Early implements Disposable {
  readonly cgroups: CgroupHost;
  readonly launcher: OciLauncher;

  constructor() {
    this.cgroups = detectCgroups();
    this.launcher = new OciLauncher();
  }

  [Symbol.dispose](): void {
    this.launcher[Symbol.dispose]();
  }
}
