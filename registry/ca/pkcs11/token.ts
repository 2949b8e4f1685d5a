/**
 * The key of a token through its absences: opened when it is needed, opened again when the token went away and came back,
 * never asked with a PIN that was refused. Every call blocks.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Cryptoki } from './cryptoki.ts';
import { TokenRefusal } from './return-value.ts';
import { TokenKey, type TokenKeyPlace } from './token-key.ts';

/** After a failure the token is let alone for so long, and who asks is refused at once. */
const pauseMs = 1000;

export class Token {
  readonly #cryptoki: Cryptoki;
  readonly #place: TokenKeyPlace;
  readonly #clock: Clock;
  #key: TokenKey | null = null;
  #publicKey: Buffer | null = null;
  #refusedPin: string | null = null;
  #failed: { readonly fault: Fault; readonly untilMs: number } | null = null;

  constructor(cryptoki: Cryptoki, place: TokenKeyPlace, clock: Clock) {
    this.#cryptoki = cryptoki;
    this.#place = place;
    this.#clock = clock;
  }

  /** SubjectPublicKeyInfo in DER. Faults `unavailable`. */
  open(): Buffer {
    return this.#run((key) => key.publicKey);
  }

  /** Faults `unavailable` with a sentence that says what to do. */
  sign(data: Buffer): Buffer {
    return this.#run((key) => key.sign(data));
  }

  close(): void {
    this.#key?.close();
    this.#key = null;
  }

  /** With the session there is, then with a new one, then with the module begun anew. */
  #run<Answer>(use: (key: TokenKey) => Answer): Answer {
    if (this.#failed && this.#clock.elapsed() < this.#failed.untilMs) throw this.#failed.fault;
    this.#failed = null;
    const attempts = [
      () => use(this.#key ?? this.#openKey()),
      () => use(this.#openKey()),
      () => {
        this.close();
        this.#cryptoki.restart();
        return use(this.#openKey());
      },
    ];
    let last: Fault | undefined;
    for (const attempt of attempts) {
      try {
        return attempt();
      } catch (thrown) {
        last = this.#faultOf(thrown);
        if (this.#refusedPin !== null) break;
      }
    }
    this.close();
    this.#failed = { fault: last!, untilMs: this.#clock.elapsed() + pauseMs };
    throw last!;
  }

  #openKey(): TokenKey {
    this.close();
    const pin = this.#pin();
    let key: TokenKey;
    try {
      key = TokenKey.open(this.#cryptoki, this.#place, pin);
    } catch (thrown) {
      if (thrown instanceof TokenRefusal && thrown.is('pinIncorrect', 'pinInvalid', 'pinLengthRange'))
        this.#refusedPin = pin;
      throw thrown;
    }
    this.#publicKey ??= key.publicKey;
    if (!key.publicKey.equals(this.#publicKey)) {
      key.close();
      throw new Fault('unavailable', `The token came back with another key under "${this.#place.keyLabel}".`);
    }
    this.#key = key;
    return key;
  }

  #pin(): string {
    const { pinFile } = this.#place;
    let pin: string;
    try {
      pin = readFileSync(pinFile, 'utf8').trim();
    } catch (cause) {
      throw new Fault('unavailable', `${pinFile} cannot be read; ca.signer.pinFile names it.`, { cause });
    }
    if (pin === this.#refusedPin) throw this.#pinFault();
    this.#refusedPin = null;
    return pin;
  }

  #pinFault(): Fault {
    const { tokenLabel, pinFile } = this.#place;
    return new Fault(
      'unavailable',
      `The token "${tokenLabel}" refuses the PIN in ${pinFile}. Correct that file: until it changes the token is not asked again, so that it does not lock itself.`,
    );
  }

  #faultOf(thrown: unknown): Fault {
    if (!(thrown instanceof TokenRefusal)) return Fault.of(thrown);
    const { tokenLabel } = this.#place;
    if (this.#refusedPin !== null) return this.#pinFault();
    if (thrown.is('pinLocked', 'pinExpired', 'userPinNotInitialized')) {
      return new Fault(
        'unavailable',
        `The user PIN of the token "${tokenLabel}" is locked, expired or not set; its security officer sets it anew.`,
        { cause: thrown },
      );
    }
    if (thrown.is('mechanismInvalid', 'keyFunctionNotPermitted')) {
      return new Fault(
        'unavailable',
        `The token "${tokenLabel}" does not let the key "${this.#place.keyLabel}" sign; make one with CKA_SIGN.`,
        { cause: thrown },
      );
    }
    return new Fault(
      'unavailable',
      `The token "${tokenLabel}" does not sign: ${thrown.message}. Is it there, and is its software running? It is tried again at the next signature.`,
      { cause: thrown, retryAfterMs: pauseMs },
    );
  }
}
