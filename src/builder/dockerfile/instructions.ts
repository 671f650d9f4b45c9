/**
 * The syntax tree of a Dockerfile: one typed node per instruction, with its place. Values are as written; variables
 * are expanded by whoever builds, because what they stand for depends on what was built before (`expand.ts`).
 */
import type { Directives } from './directives.ts';
import type { Heredoc } from './heredoc.ts';
import type { SourceFile, SourceRange } from './source.ts';

export type Keyword =
  | 'ADD'
  | 'ARG'
  | 'CMD'
  | 'COPY'
  | 'ENTRYPOINT'
  | 'ENV'
  | 'EXPOSE'
  | 'FROM'
  | 'HEALTHCHECK'
  | 'LABEL'
  | 'MAINTAINER'
  | 'ONBUILD'
  | 'RUN'
  | 'SHELL'
  | 'STOPSIGNAL'
  | 'USER'
  | 'VOLUME'
  | 'WORKDIR';

interface Node {
  /** As it was written: `From`. */
  readonly written: string;
  readonly range: SourceRange;
  /** The whole instruction on one line, without comments and heredocs' contents: what history and progress show. */
  readonly text: string;
  /** Comment lines directly before it. */
  readonly comments: readonly string[];
}

/** Shell form: one string for the shell. Exec form: the arguments themselves. */
export interface CommandLine {
  readonly form: 'shell' | 'exec';
  readonly args: readonly string[];
}

export interface Pair {
  readonly name: string;
  readonly value: string;
  readonly range: SourceRange;
}

export interface FromInstruction extends Node {
  readonly keyword: 'FROM';
  /** Image, earlier stage or named context; may have variables of the global scope. */
  readonly base: string;
  /** Lower case; undefined for a stage without a name. */
  readonly stage: string | undefined;
  readonly stageWritten: string | undefined;
  /** How AS was written. */
  readonly asWritten: string | undefined;
  readonly platform: string | undefined;
}

export interface RunInstruction extends Node {
  readonly keyword: 'RUN';
  readonly command: CommandLine;
  readonly heredocs: readonly Heredoc[];
  /** `--mount` values as written; `parseMount` reads them after expansion. */
  readonly mounts: readonly { readonly value: string; readonly range: SourceRange }[];
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly devices: readonly string[];
}

interface CopySources extends Node {
  /** Paths, and for ADD also URLs and git references; heredocs are in `contents`. */
  readonly sources: readonly string[];
  readonly contents: readonly InlineFile[];
  readonly destination: string;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly link: boolean;
  readonly exclude: readonly string[];
}

/** A heredoc as a source: its name is the file's name below a directory. */
export interface InlineFile {
  readonly name: string;
  readonly content: string;
  readonly expand: boolean;
}

export interface CopyInstruction extends CopySources {
  readonly keyword: 'COPY';
  /** Stage, image or named context; undefined is the build context. */
  readonly from: string | undefined;
  readonly parents: boolean;
}

export interface AddInstruction extends CopySources {
  readonly keyword: 'ADD';
  readonly checksum: string | undefined;
  readonly keepGitDir: boolean | undefined;
  /** Undefined: local archives are unpacked, remote ones are not. */
  readonly unpack: boolean | undefined;
}

export interface EnvInstruction extends Node {
  readonly keyword: 'ENV';
  readonly pairs: readonly Pair[];
  readonly legacy: boolean;
}

export interface LabelInstruction extends Node {
  readonly keyword: 'LABEL';
  readonly pairs: readonly Pair[];
  readonly legacy: boolean;
}

export interface ArgInstruction extends Node {
  readonly keyword: 'ARG';
  readonly args: readonly { readonly name: string; readonly value: string | undefined; readonly range: SourceRange }[];
}

export interface CommandInstruction extends Node {
  readonly keyword: 'CMD' | 'ENTRYPOINT';
  readonly command: CommandLine;
}

export interface ShellInstruction extends Node {
  readonly keyword: 'SHELL';
  readonly shell: readonly string[];
}

export interface ExposeInstruction extends Node {
  readonly keyword: 'EXPOSE';
  readonly ports: readonly string[];
}

export interface VolumeInstruction extends Node {
  readonly keyword: 'VOLUME';
  readonly paths: readonly string[];
}

export interface UserInstruction extends Node {
  readonly keyword: 'USER';
  readonly user: string;
}

export interface WorkdirInstruction extends Node {
  readonly keyword: 'WORKDIR';
  readonly path: string;
}

export interface StopSignalInstruction extends Node {
  readonly keyword: 'STOPSIGNAL';
  readonly signal: string;
}

export interface MaintainerInstruction extends Node {
  readonly keyword: 'MAINTAINER';
  readonly maintainer: string;
}

/** Durations in nanoseconds; what is not given is undefined and left to the engine. */
export interface HealthcheckInstruction extends Node {
  readonly keyword: 'HEALTHCHECK';
  /** `['NONE']`, `['CMD', …]` or `['CMD-SHELL', command]`, as the image's config has it. */
  readonly test: readonly string[];
  readonly intervalNs: bigint | undefined;
  readonly timeoutNs: bigint | undefined;
  readonly startPeriodNs: bigint | undefined;
  readonly startIntervalNs: bigint | undefined;
  readonly retries: number | undefined;
}

export interface OnbuildInstruction extends Node {
  readonly keyword: 'ONBUILD';
  /** The instruction as the image's config keeps it; heredocs included. */
  readonly trigger: string;
  readonly instruction: StageInstruction;
}

/** What may stand in a stage. */
export type StageInstruction =
  | AddInstruction
  | ArgInstruction
  | CommandInstruction
  | CopyInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopSignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction;

export type Instruction = FromInstruction | StageInstruction;

export interface Stage {
  /** From 0. */
  readonly index: number;
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
}

export interface Dockerfile {
  readonly source: SourceFile;
  readonly directives: Directives;
  readonly escape: '\\' | '`';
  /** ARG before the first FROM: the global scope. */
  readonly globalArgs: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
  /** Ranges of instructions with an empty line among their continuation lines. */
  readonly emptyContinuations: readonly SourceRange[];
}
