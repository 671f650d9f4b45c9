/**
 * What a new container needs of others, asked for before the code that makes it is even loaded: that the kernel lets a
 * process join its cgroups without a wait, and a zygote.
 */
import { type CgroupHost, detectCgroups } from '../cgroups/detect.ts';
import { JoinReadiness } from '../cgroups/ready.ts';
import { OciLauncher } from './launch.ts';

export class Early implements Disposable {
  readonly cgroups: CgroupHost;
  readonly launcher: OciLauncher;

  constructor() {
    this.cgroups = detectCgroups();
    // Until the kernel's wait is over no cgroup can be made either: so it comes before the zygote.
    new JoinReadiness(this.cgroups).ready();
    this.launcher = new OciLauncher();
  }

  [Symbol.dispose](): void {
    this.launcher[Symbol.dispose]();
  }
}
