/** The tables of the registry as types: what Kysely checks every query against. Times are milliseconds since 1970. */
import type { Generated, Selectable, Updateable } from 'kysely';
import type { CommandState } from '#common/contract/command.ts';
import type { AnchorMode, CertificateState, DeviceState, IssuerState } from '#common/contract/directory.ts';

export interface Tables {
  fleets: {
    id: string;
    role: string;
    created_ms: number;
    profile: string;
    /** `automatic` or `manual`. */
    approval: string;
    grace_ms: number;
    skew_ms: number;
    /** How much its devices may send: JSON. */
    limits: string | null;
  };
  profiles: { name: string; document: string };
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
    /** What an assignment by attributes gave it; its own role goes before, its fleet's after. */
    assigned_role: string | null;
    last_issuer: string | null;
    last_seen_ms: number | null;
    /** How much it may send: JSON. */
    limits: string | null;
    /** Why it is thought to be two, as JSON; null when it is not. */
    suspicion: string | null;
  };
  commands: {
    /** The order of commands. */
    number: Generated<number>;
    id: string;
    device: string;
    name: string;
    payload: Buffer;
    content_type: string;
    state: CommandState;
    /** Who sent it, as in the audit. */
    sender: string;
    created_ms: number;
    expires_ms: number;
    /** How often it was handed to the device. */
    attempts: number;
    delivered_ms: number | null;
    /** Answered, run out or taken back. */
    ended_ms: number | null;
    reply_status: number | null;
    reply_content_type: string | null;
    reply_payload: Buffer | null;
    /** The order of what became of commands: grows with every change of a state. */
    revision: number;
  };
  issuers: {
    id: string;
    kind: 'own' | 'foreign';
    state: IssuerState;
    name: string;
    /** PEM. */
    certificate: string;
    fleet: string | null;
    mode: AnchorMode | null;
    /** The terms of an anchor, or where the key of an issuer of ours is: JSON. */
    document: string;
    status_until_ms: number | null;
    crl_number: number;
    created_ms: number;
  };
  certificates: {
    issuer: string;
    /** Lower-case hex. */
    serial: string;
    /** Null until it is issued. */
    fingerprint: string | null;
    device: string;
    fleet: string;
    state: CertificateState;
    /** SHA-256 of the SubjectPublicKeyInfo, hex: a key speaks for one device only. */
    key_hash: string;
    profile: string;
    /** What was decided to be signed, written before the key was used. Empty for foreign ones. */
    plan: string;
    der: Buffer | null;
    /** By what right it was issued: `token:<id>`, `claim:<id>`, `renewal`, `anchor:<id>`, `approval:<id>`, `system`. */
    source: string;
    /** SHA-256 of the CSR's DER: the same CSR gets the same answer. */
    csr_hash: string | null;
    not_before_ms: number;
    not_after_ms: number;
    reserved_ms: number;
    revoked_ms: number | null;
    reason: string | null;
    /** Fingerprint of the certificate that it renews. */
    replaces: string | null;
    /** When a device first connected with it, and last as far as was reported. */
    used_ms: number | null;
    seen_ms: number | null;
    /** When it is revoked as superseded. */
    retire_ms: number | null;
    renew_after_ms: number | null;
    status_until_ms: number | null;
  };
  claims: {
    id: string;
    fleet: string;
    fingerprint: string;
    uses: number;
    uses_left: number;
    expires_ms: number;
    created_ms: number;
    revoked: number;
  };
  /** Enrollments that wait for an operator, and what became of them. */
  enrollments: {
    id: string;
    fleet: string;
    device: string;
    csr_hash: string;
    csr: Buffer;
    attributes: string;
    source: string;
    state: 'pending' | 'approved' | 'denied' | 'issued';
    created_ms: number;
    decided_ms: number | null;
    decided_by: string | null;
    reason: string | null;
  };
  operators: {
    name: string;
    fingerprint: string;
    role: string;
    not_after_ms: number;
    created_ms: number;
    revoked: number;
  };
  role_assignments: { id: string; fleet: string | null; match: string; role: string; created_ms: number };
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
  /** Signed for the house itself; recorded before they are signed, dropped when they have ended. */
  house_certificates: {
    issuer: string;
    serial: string;
    purpose: 'door' | 'gateway' | 'ocsp';
    name: string;
    not_after_ms: number;
  };
  gateways: { fingerprint: string; name: string; not_after_ms: number };
}

export type CommandRow = Selectable<Tables['commands']>;
export type CommandUpdate = Updateable<Tables['commands']>;
