/**
 * The dozen functions of PKCS #11 2.40 that a signature needs, called in the module's shared library through koffi. Every
 * call blocks: this is for a thread that nobody waits for. Structures are laid out as on Unix with 64 bits (section 2.1).
 */
import type koffi from 'koffi';
import { Fault } from '#common/fault.ts';
import { returnValues, TokenRefusal } from './return-value.ts';

type Koffi = typeof koffi;
type Call = (...given: (Buffer | bigint | number | null)[]) => number;

/** Places in CK_FUNCTION_LIST, in whose order all modules agree, and how many arguments each takes. */
const functions = {
  C_Initialize: [0, ['void *']],
  C_Finalize: [1, ['void *']],
  C_GetSlotList: [4, ['uint8', 'void *', 'void *']],
  C_GetTokenInfo: [6, ['ulong', 'void *']],
  C_OpenSession: [12, ['ulong', 'ulong', 'void *', 'void *', 'void *']],
  C_CloseSession: [13, ['ulong']],
  C_Login: [18, ['ulong', 'ulong', 'void *', 'ulong']],
  C_GetAttributeValue: [24, ['ulong', 'ulong', 'void *', 'ulong']],
  C_FindObjectsInit: [26, ['ulong', 'void *', 'ulong']],
  C_FindObjects: [27, ['ulong', 'void *', 'ulong', 'void *']],
  C_FindObjectsFinal: [28, ['ulong']],
  C_SignInit: [42, ['ulong', 'void *', 'ulong']],
  C_Sign: [43, ['ulong', 'void *', 'ulong', 'void *', 'void *']],
} as const satisfies Record<string, readonly [number, readonly string[]]>;
type FunctionName = keyof typeof functions;

const functionCount = 68;
const word = 8;
const osLockingOk = 2n;
const serialSession = 4n;
const normalUser = 1n;
const tokenInfoSize = 256;
const tokenLabelSize = 32;
const mostSlots = 256;
const mostAttributeSize = 16_384;
const mostSignatureSize = 8192;

export const objectClass = { publicKey: 2n, privateKey: 3n } as const;
export const attribute = {
  class: 0x0n,
  label: 0x3n,
  keyType: 0x100n,
  modulus: 0x120n,
  publicExponent: 0x122n,
  ecParams: 0x180n,
  ecPoint: 0x181n,
} as const;

const ulong = (number: bigint): Buffer => {
  const bytes = Buffer.alloc(word);
  bytes.writeBigUInt64LE(number);
  return bytes;
};

/** Libraries that are loaded: one that is collected is unloaded, under the pointers into it. */
const loaded: unknown[] = [];

export class Cryptoki {
  readonly #koffi: Koffi;
  readonly #call: Record<FunctionName, Call>;
  /** What a call under way points at by address, so that it is not collected. */
  readonly #pointedAt: { values: unknown } = { values: null };

  private constructor(ffi: Koffi, call: Record<FunctionName, Call>) {
    this.#koffi = ffi;
    this.#call = call;
  }

  /** Loads the module and initialises it, for use by several threads. Faults `unavailable`. */
  static async load(path: string): Promise<Cryptoki> {
    const ffi = await loadKoffi();
    let table: Buffer;
    try {
      const at = Buffer.alloc(word);
      const library = ffi.load(path);
      loaded.push(library);
      const getFunctionList = library.func('C_GetFunctionList', 'ulong', ['void *']);
      if (getFunctionList(at) !== 0) throw new Error('C_GetFunctionList failed.');
      // A version of two octets, padded, then the pointers. Copied: the view is memory of the module.
      table = Buffer.from(Buffer.from(ffi.view(at.readBigUInt64LE(), word * (functionCount + 1))));
    } catch (cause) {
      throw new Fault(
        'unavailable',
        `${path} cannot be loaded as a PKCS #11 module; ca.signer.module names the shared library that comes with the token.`,
        { cause },
      );
    }
    const entries = Object.entries(functions).map(([name, [place, types]]) => {
      const prototype = ffi.proto('ulong', [...types]);
      const address = table.readBigUInt64LE(word * (place + 1));
      const call: Call = (...given) => Number(ffi.call(address, prototype, ...given));
      return [name, call];
    });
    const cryptoki = new Cryptoki(ffi, Object.fromEntries(entries) as Record<FunctionName, Call>);
    cryptoki.initialize();
    return cryptoki;
  }

  #do(name: FunctionName, ...given: Parameters<Call>): void {
    const code = this.#call[name](...given);
    if (code !== 0) throw new TokenRefusal(name, code);
  }

  /** Another part of the process may have done so already. */
  initialize(): void {
    // CK_C_INITIALIZE_ARGS: four functions that we do not give, flags, a reserved pointer.
    const given = Buffer.concat([Buffer.alloc(4 * word), ulong(osLockingOk), Buffer.alloc(word)]);
    const code = this.#call.C_Initialize(given);
    if (code !== 0 && code !== returnValues.alreadyInitialized) throw new TokenRefusal('C_Initialize', code);
  }

  /** Ends every session of the process with this module; a token that went away is seen again only after that. */
  restart(): void {
    this.#call.C_Finalize(null);
    this.initialize();
  }

  /** Slots that have a token, by the token's label. */
  tokens(): { slot: bigint; label: string }[] {
    const count = ulong(BigInt(mostSlots));
    const slots = Buffer.alloc(word * mostSlots);
    this.#do('C_GetSlotList', 1, slots, count);
    return Array.from({ length: Number(count.readBigUInt64LE()) }, (_, index) => {
      const slot = slots.readBigUInt64LE(word * index);
      const info = Buffer.alloc(tokenInfoSize);
      this.#do('C_GetTokenInfo', slot, info);
      // Padded with blanks, not ended by a zero.
      return { slot, label: info.toString('utf8', 0, tokenLabelSize).trimEnd() };
    });
  }

  openSession(slot: bigint): bigint {
    const session = ulong(0n);
    this.#do('C_OpenSession', slot, serialSession, null, null, session);
    return session.readBigUInt64LE();
  }

  closeSession(session: bigint): void {
    this.#do('C_CloseSession', session);
  }

  /** As the user; the whole process is logged in then. */
  login(session: bigint, pin: string): void {
    const bytes = Buffer.from(pin, 'utf8');
    const code = this.#call.C_Login(session, normalUser, bytes, bytes.length);
    if (code !== 0 && code !== returnValues.userAlreadyLoggedIn) throw new TokenRefusal('C_Login', code);
  }

  /** Handles of the objects of a class with a label, two at most: one is expected, and more than one is told apart. */
  find(session: bigint, kind: bigint, label: string): bigint[] {
    const wanted = [
      { type: attribute.class, value: ulong(kind) },
      { type: attribute.label, value: Buffer.from(label, 'utf8') },
    ];
    const found = Buffer.alloc(2 * word);
    const count = ulong(0n);
    this.#do('C_FindObjectsInit', session, this.#template(wanted), wanted.length);
    try {
      this.#do('C_FindObjects', session, found, 2, count);
    } finally {
      this.#call.C_FindObjectsFinal(session);
    }
    return [found.readBigUInt64LE(0), found.readBigUInt64LE(word)].slice(0, Number(count.readBigUInt64LE()));
  }

  attributeOf(session: bigint, object: bigint, type: bigint): Buffer {
    const value = Buffer.alloc(mostAttributeSize);
    const template = this.#template([{ type, value }]);
    this.#do('C_GetAttributeValue', session, object, template, 1);
    const length = template.readBigUInt64LE(2 * word);
    return Buffer.from(value.subarray(0, Math.min(Number(length), mostAttributeSize)));
  }

  sign(session: bigint, mechanism: bigint, key: bigint, data: Buffer): Buffer {
    // CK_MECHANISM without a parameter.
    this.#do('C_SignInit', session, Buffer.concat([ulong(mechanism), Buffer.alloc(2 * word)]), key);
    const signature = Buffer.alloc(mostSignatureSize);
    const length = ulong(BigInt(mostSignatureSize));
    this.#do('C_Sign', session, data, data.length, signature, length);
    return Buffer.from(signature.subarray(0, Number(length.readBigUInt64LE())));
  }

  /** CK_ATTRIBUTE by CK_ATTRIBUTE, for the call that comes next. */
  #template(attributes: readonly { type: bigint; value: Buffer }[]): Buffer {
    this.#pointedAt.values = attributes;
    return Buffer.concat(
      attributes.flatMap(({ type, value }) => [
        ulong(type),
        ulong(this.#koffi.address(value)),
        ulong(BigInt(value.length)),
      ]),
    );
  }
}

async function loadKoffi(): Promise<Koffi> {
  if (!['linux', 'darwin'].includes(process.platform) || !['x64', 'arm64'].includes(process.arch)) {
    throw new Fault(
      'unavailable',
      `PKCS #11 is for Linux and macOS with 64 bits, not ${process.platform} ${process.arch}; use ca.signer with type: file.`,
    );
  }
  try {
    return (await import('koffi')).default;
  } catch (cause) {
    throw new Fault(
      'unavailable',
      'PKCS #11 needs the optional package koffi, which is not installed here: run "npm ci" without --omit=optional.',
      { cause },
    );
  }
}
