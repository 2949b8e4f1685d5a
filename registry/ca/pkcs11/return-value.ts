/** What a PKCS #11 function answers when it does not do what it was asked (CKR_…, PKCS #11 2.40 section 5.1). */

/** Those that say something to somebody; any other is shown as its number. */
export const returnValues = {
  generalError: 0x05,
  functionFailed: 0x06,
  deviceError: 0x30,
  deviceRemoved: 0x32,
  keyHandleInvalid: 0x60,
  keyFunctionNotPermitted: 0x68,
  mechanismInvalid: 0x70,
  objectHandleInvalid: 0x82,
  pinIncorrect: 0xa0,
  pinInvalid: 0xa1,
  pinLengthRange: 0xa2,
  pinExpired: 0xa3,
  pinLocked: 0xa4,
  sessionClosed: 0xb0,
  sessionHandleInvalid: 0xb3,
  tokenNotPresent: 0xe0,
  tokenNotRecognized: 0xe1,
  userAlreadyLoggedIn: 0x100,
  userNotLoggedIn: 0x101,
  userPinNotInitialized: 0x102,
  notInitialized: 0x190,
  alreadyInitialized: 0x191,
} as const;

const words = new Map(Object.entries(returnValues).map(([word, code]): [number, string] => [code, word]));

/** Stays inside this room: what leaves it is a Fault with a sentence. */
export class TokenRefusal extends Error {
  readonly code: number;

  constructor(called: string, code: number) {
    super(`${called} answered ${words.get(code) ?? 'something else'} (0x${code.toString(16)})`);
    this.name = 'TokenRefusal';
    this.code = code;
  }

  is(...expected: (keyof typeof returnValues)[]): boolean {
    return expected.some((word) => returnValues[word] === this.code);
  }
}
