/**
 * The registry behind the routes: what it is made of and what it allows. Handlers get this and one request; nothing here
 * knows of sockets, so that tests call `handle` with a Request.
 */
import type { ContentStore } from '#content/content-store.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { Authorizer } from './auth/authorizer.ts';
import { BlobStore } from './blob-store.ts';
import { Catalogue, type Repository } from './catalogue.ts';
import { Uploads } from './uploads.ts';

export interface RegistryLimits {
  readonly blobBytesMax: number;
}

export interface RegistryOptions {
  readonly content: ContentStore;
  readonly db: GraphDb;
  readonly authorizer: Authorizer;
  readonly readOnly: boolean;
  readonly allowDelete: boolean;
  readonly page: boolean;
  readonly limits: RegistryLimits;
  /** What is younger is not collected. */
  readonly graceMs: number;
  /** Manifests without a tag are collected too. */
  readonly collectUntagged: boolean;
  readonly now: () => number;
}

/** Repositories whose content comes from other registries (`cache/cache.ts`). */
export interface ReadThrough {
  covers(name: string): boolean;
  /** The name here of a repository that is asked for as one of another registry. */
  nameOf(name: string, namespace: string): string;
  manifest(name: string, reference: string, request: Request): Promise<Response>;
  blob(name: string, digest: string, request: Request): Promise<Response>;
  tags(name: string): Promise<readonly string[]>;
  /** Descriptors of what refers to a manifest upstream; undefined: what is here is all that is known. */
  referrers(name: string, digest: string): Promise<readonly unknown[] | undefined>;
  /** Manifests that nobody has asked for for long. */
  unusedOf(repository: Repository): readonly string[];
}

export class Registry {
  readonly options: RegistryOptions;
  readonly blobs: BlobStore;
  readonly catalogue: Catalogue;
  readonly uploads: Uploads;
  /** Repositories of other registries, if there are any. */
  cache: ReadThrough | undefined;

  constructor(options: RegistryOptions) {
    this.options = options;
    this.blobs = new BlobStore(options.content);
    this.catalogue = Catalogue.open(options.db);
    this.uploads = new Uploads(options.content, options.limits);
  }

  get now(): number {
    return this.options.now();
  }

  /** Whether this repository may be asked for this blob, and its file is there. */
  hasBlob(name: string, digest: string): boolean {
    return this.catalogue.repository(name)?.links.has(digest) === true && this.options.content.has(digest);
  }
}
