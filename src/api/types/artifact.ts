/** OCI artifacts on the wire: Berth's own routes, after podman's words. */
export interface ArtifactFile {
  Title: string;
  Digest: string;
  Size: number;
  MediaType: string;
}

export interface ArtifactSummary {
  /** `host/repository:tag`. */
  Name: string;
  Digest: string;
  ArtifactType: string;
  Size: number;
  /** RFC 3339: when it came here. */
  CreatedAt: string;
  Files: ArtifactFile[];
}

export interface ArtifactInspect {
  Name: string;
  Digest: string;
  /** As it is in the registry. */
  Manifest: unknown;
}

/** Body of `POST /berth/artifacts/create`; the files were uploaded before. */
export interface ArtifactCreateRequest {
  Name: string;
  Type: string;
  Annotations: Record<string, string>;
  Files: { Title: string; Digest: string; MediaType: string }[];
  Replace: boolean;
}
