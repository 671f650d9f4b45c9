/** Secrets of one host, on the wire: Berth's own routes, shaped as podman's and swarm's. */
export interface Secret {
  ID: string;
  CreatedAt: string;
  UpdatedAt: string;
  Spec: {
    Name: string;
    Driver: { Name: string; Options: Record<string, string> };
    Labels: Record<string, string>;
  };
}
