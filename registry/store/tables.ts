/** The tables of the registry as types: what Kysely checks every query against. Times are milliseconds since 1970. */
import type { Generated } from 'kysely';
import type { CertificateState, DeviceState } from '#common/contract/directory.ts';

export interface Tables {
  fleets: { id: string; role: string; created_ms: number };
  devices: {
    id: string;
    fleet: string;
    state: DeviceState;
    /** Null for the role of its fleet. */
    role: string | null;
    /** A JSON object of strings. */
    attributes: string;
    created_ms: number;
    updated_ms: number;
  };
  certificates: {
    /** Lower-case hex. */
    serial: string;
    /** Null until it is issued. */
    fingerprint: string | null;
    device: string;
    fleet: string;
    state: CertificateState;
    /** SHA-256 of the SubjectPublicKeyInfo, hex: a key speaks for one device only. */
    key_hash: string;
    /** What was decided to be signed, written before the key was used. */
    plan: string;
    der: Buffer | null;
    token: string | null;
    not_before_ms: number;
    not_after_ms: number;
    reserved_ms: number;
    revoked_ms: number | null;
    reason: string | null;
  };
  tokens: {
    id: string;
    hash: string;
    fleet: string;
    device: string | null;
    uses: number;
    uses_left: number;
    expires_ms: number;
    created_ms: number;
    revoked: number;
  };
  roles: { name: string; document: string };
  api_tokens: { id: string; hash: string; name: string; role: string; created_ms: number; revoked: number };
  changes: { id: Generated<number>; time_ms: number; body: string };
  audit: {
    id: Generated<number>;
    time_ms: number;
    actor: string;
    action: string;
    target: string;
    detail: string;
    previous: string;
    hash: string;
  };
  /** Answers to Idempotency-Keys, sealed with the key that asked. */
  answers: { key_hash: string; request: string; status: number; body: Buffer; expires_ms: number };
  gateways: { fingerprint: string; name: string; not_after_ms: number };
}
