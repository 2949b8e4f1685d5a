/**
 * Enrollment over Secure Transport (RFC 7030 with RFC 8951), the whole protocol behind every door that serves it: a
 * request as plain data in, an answer as plain data out. By what right a certificate is issued, enroll.ts and the renewal say.
 */
import type { Clock } from '#common/clock.ts';
import type { Directory, DirectoryEntry } from '#common/contract/directory.ts';
import type { EstAnswer, EstAsk, IssuedCertificate } from '#common/contract/enrollment.ts';
import { Fault, type FaultKind } from '#common/fault.ts';
import { type FleetId, parseFleetId } from '#common/identity.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { certificatesDer } from '#common/x509/pem.ts';
import type { Credential } from '../authority/credential.ts';
import type { Enrollment } from '../authority/enroll.ts';
import type { Fleets } from '../authority/fleets.ts';
import type { Profiles } from '../authority/profiles.ts';
import { attributesAnswer, certificatesAnswer, keyAnswer, refusal } from './answers.ts';
import { secretOf } from './authorization.ts';
import { csrOf } from './body.ts';
import { csrAttributes } from './csr-attributes.ts';
import { judgeSameSubject } from './same-subject.ts';
import { makeServerKey } from './server-key.ts';

/** Issues a certificate in place of the leaf of `chain`, DER, if that is good, or good for renewal alone. */
export interface Renews {
  renew(chain: readonly Buffer[], csr: Buffer, actor: string): Promise<IssuedCertificate>;
}

/** How often an address may try, and fail. Each but `failed` faults `rate-limited`. */
export interface EstLimits {
  mayTry(address: string, nowMs: number): void;
  enrollment(address: string, nowMs: number): void;
  failed(address: string, nowMs: number): void;
}

export interface EstParts {
  enrollment: Pick<Enrollment, 'enroll' | 'rightOf'>;
  renewal: Renews;
  directory: Pick<Directory, 'find'>;
  fleets: Pick<Fleets, 'terms'>;
  profiles: Pick<Profiles, 'find'>;
  /** PEM of every CA whose certificates are in use: one or several a text, and the same may come twice. */
  caCertificates: () => readonly string[];
  limits: EstLimits;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
  settings: { readonly maxCsrSize: number; readonly serverKeygen: boolean };
}

/** The profile of those who do not say which fleet they are for. */
const anybodysProfile = 'device';
const wrongCredentials: readonly FaultKind[] = ['token-invalid', 'claim-invalid', 'unknown-certificate'];

export class Est {
  readonly #parts: EstParts;
  #ca: { readonly pem: string; readonly answer: EstAnswer } | undefined;

  constructor(parts: EstParts) {
    this.#parts = parts;
  }

  /** Never faults: a refusal is an answer too. */
  async answer(ask: EstAsk): Promise<EstAnswer> {
    try {
      switch (ask.operation) {
        case 'cacerts':
          return await this.#caCertificates(ask);
        case 'csrattrs':
          return await this.#csrAttributes(ask);
        case 'simpleenroll':
          return await this.#counted(ask, () => this.#enroll(ask));
        case 'simplereenroll':
          return await this.#reenroll(ask);
        case 'serverkeygen':
          return await this.#counted(ask, () => this.#makeKey(ask));
      }
    } catch (thrown) {
      return this.#refuse(Fault.of(thrown), ask);
    }
  }

  #refuse(fault: Fault, { operation, address }: EstAsk): EstAnswer {
    const { log, limits, clock } = this.#parts;
    if (fault.kind === 'internal')
      log.error({ error: fault.cause, operation }, 'An EST request failed inside.');
    if (wrongCredentials.includes(fault.kind)) limits.failed(address, clock.now());
    return refusal(fault);
  }

  async #counted(ask: EstAsk, issue: () => Promise<EstAnswer>): Promise<EstAnswer> {
    const { metrics } = this.#parts;
    try {
      this.#limit(ask);
      const answer = await issue();
      metrics.enrollmentsTotal.inc({ result: 'issued', reason: 'none' });
      metrics.certificates.inc({ state: 'issued' });
      return answer;
    } catch (thrown) {
      const { kind } = Fault.of(thrown);
      const result = kind === 'approval-pending' ? 'pending' : 'refused';
      metrics.enrollmentsTotal.inc({ result, reason: kind });
      throw thrown;
    }
  }

  #limit({ address }: EstAsk): void {
    const { limits, clock } = this.#parts;
    limits.mayTry(address, clock.now());
    limits.enrollment(address, clock.now());
  }

  async #caCertificates({ label }: EstAsk): Promise<EstAnswer> {
    const { fleets, caCertificates } = this.#parts;
    // The same for all fleets; but who asks for one that does not exist is told so.
    if (label !== null) await fleets.terms(parseFleetId(label));
    const pem = caCertificates().join('');
    if (this.#ca?.pem !== pem) {
      const distinct = new Set(certificatesDer(pem).map((der) => der.toString('base64')));
      const certificates = [...distinct].map((each) => Buffer.from(each, 'base64'));
      this.#ca = { pem, answer: certificatesAnswer(certificates) };
    }
    return this.#ca.answer;
  }

  async #csrAttributes(ask: EstAsk): Promise<EstAnswer> {
    const { fleets, profiles } = this.#parts;
    const fleet = ask.label === null ? await this.#fleetOf(ask) : parseFleetId(ask.label);
    const { profile } = fleet === null ? { profile: anybodysProfile } : await fleets.terms(fleet);
    return attributesAnswer(csrAttributes((await profiles.find(profile)).document));
  }

  /** The fleet of whoever asks, when that can be told: nobody has to say who they are for this. */
  async #fleetOf(ask: EstAsk): Promise<FleetId | null> {
    const { enrollment, limits, clock } = this.#parts;
    const secret = secretOf(ask.authorization);
    if (secret === undefined) return this.#recorded(chainOf(ask))?.fleet ?? null;
    limits.mayTry(ask.address, clock.now());
    return (await enrollment.rightOf({ secret })).fleet;
  }

  async #enroll(ask: EstAsk): Promise<EstAnswer> {
    const credential = credentialOf(ask);
    return certificatesAnswer([leafOf(await this.#issue(ask, credential, this.#csrOf(ask)))]);
  }

  async #reenroll(ask: EstAsk): Promise<EstAnswer> {
    this.#limit(ask);
    const chain = chainOf(ask);
    const [leaf] = chain;
    if (!leaf) throw new Fault('no-certificate', 'Connect with the certificate that is to be renewed.');
    const csr = this.#csrOf(ask);
    const entry = this.#recorded(chain);
    if (!entry)
      throw new Fault(
        'unknown-certificate',
        'The registry does not know this certificate; enroll the device.',
      );
    if (ask.label !== null && ask.label !== entry.fleet)
      throw new Fault('token-scope', `This certificate is of the fleet ${entry.fleet}.`);
    judgeSameSubject(csr, leaf);
    const issued = await this.#parts.renewal.renew(chain, csr, `device:${entry.device}`);
    return certificatesAnswer([leafOf(issued)]);
  }

  async #makeKey(ask: EstAsk): Promise<EstAnswer> {
    const { settings, enrollment, fleets } = this.#parts;
    if (!settings.serverKeygen) {
      throw new Fault(
        'forbidden',
        'This registry makes no keys for devices: make one on the device, or set registry.serverKeygen.',
      );
    }
    const credential = credentialOf(ask);
    const csr = this.#csrOf(ask);
    // Making a key is work: not for somebody without a right.
    const { fleet, refusal } = await enrollment.rightOf(credential);
    if (refusal) throw refusal;
    const { approval } = await fleets.terms(fleet);
    if (approval === 'manual') {
      // The key would have to be kept until somebody approves it.
      throw new Fault(
        'forbidden',
        `Enrollments of the fleet ${fleet} wait for approval: make the key on the device.`,
      );
    }
    const made = await makeServerKey(csr);
    const issued = await this.#issue(ask, credential, made.csr);
    return keyAnswer(made.privateKey.export({ type: 'pkcs8', format: 'der' }), leafOf(issued));
  }

  #issue({ label }: EstAsk, credential: Credential, csr: Buffer): Promise<IssuedCertificate> {
    const fleet = label === null ? null : parseFleetId(label);
    return this.#parts.enrollment.enroll({ credential, fleet, device: null, csr, attributes: {} });
  }

  #csrOf(ask: EstAsk): Buffer {
    return csrOf(ask, this.#parts.settings.maxCsrSize);
  }

  #recorded([leaf]: readonly Buffer[]): DirectoryEntry | undefined {
    return leaf && this.#parts.directory.find(fingerprintOf(leaf));
  }
}

const chainOf = ({ chain }: EstAsk): Buffer[] => chain.map((each) => Buffer.from(each, 'base64'));

/** What the client says goes before what it has shown. Faults `unauthenticated`. */
function credentialOf(ask: EstAsk): Credential {
  const secret = secretOf(ask.authorization);
  if (secret !== undefined) return { secret };
  const chain = chainOf(ask);
  if (chain.length > 0) return { chain };
  throw new Fault(
    'unauthenticated',
    'Send the enrollment token, as the password of any user or as "Authorization: Bearer <token>", or connect with a claim certificate.',
  );
}

const leafOf = ({ certificate }: IssuedCertificate): Buffer => certificatesDer(certificate)[0]!;
