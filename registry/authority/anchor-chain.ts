/**
 * From a chain that a device of a manufacturer has shown to the device that it speaks for: the path, the anchor's terms,
 * the mapping, the revocation. The same for whoever connects and for whoever enrolls; whether it may, its mode says.
 */
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Certificate } from '#common/x509/certificate.ts';
import type { Anchor, AnchorRegister } from './anchor-register.ts';
import { type Step, stepsOf } from './foreign-path.ts';
import { type ForeignStatus, judgeState } from './foreign-status.ts';
import { deviceOf } from './mapping.ts';

/** A chain that holds, read. */
export interface Introduced {
  readonly anchor: Anchor;
  readonly device: DeviceId;
  readonly leaf: Certificate;
  readonly steps: readonly Step[];
  /** The earliest of the path. */
  readonly notAfterMs: number;
  readonly statusUntilMs: number | null;
}

export interface AnchorChainsParts {
  register: AnchorRegister;
  status: ForeignStatus;
  clock: Clock;
}

export class AnchorChains {
  readonly #parts: AnchorChainsParts;

  constructor(parts: AnchorChainsParts) {
    this.#parts = parts;
  }

  /** Whether a chain is of one of the anchors, as far as it says itself. */
  concerns(chain: readonly Buffer[]): boolean {
    return this.#parts.register.concerns(chain);
  }

  /**
   * `chain` is leaf first, DER. Faults as path validation does, `mapping-failed`, `certificate-revoked`,
   * `certificate-held`, `revocation-unknown`.
   */
  async read(chain: readonly Buffer[]): Promise<Introduced> {
    const { register, status, clock } = this.#parts;
    const outcome = register.validate(chain, clock.now());
    if (!outcome.trusted) throw outcome.fault;
    const { issuer: anchor, path, notAfterMs } = outcome;
    const leaf = path[0]!;
    const device = deviceOf(leaf, anchor.terms.mapping);
    if (device === null) throw unmapped(anchor.id);
    await register.learn(anchor.id, path);
    const steps = stepsOf(path);
    const statusUntilMs = judgeState(await status.of(anchor, leaf, steps));
    return { anchor, device, leaf, steps, notAfterMs, statusUntilMs };
  }
}

const unmapped = (anchor: string) =>
  new Fault(
    'mapping-failed',
    `No mapping rule of the anchor ${anchor} finds a device id in this certificate; see docs/anchors.md.`,
  );
