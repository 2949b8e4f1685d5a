/** RSA moduli that anybody can factor: even ones, those with small factors, those whose primes lie close together. Pure. */

/** So many steps of Fermat's method: primes that share half of their bits and some more are found within a few. */
const fermatRounds = 2_000;

const smallPrimes: readonly bigint[] = primesBelow(1_000);
const smallPrimesProduct = smallPrimes.reduce((product, prime) => product * prime, 1n);

/** Squares leave few remainders by these: most numbers that are none are told without a root. */
const sieves = [64, 63, 65, 11, 17, 19, 23, 31].map((modulus) => {
  const squares = new Uint8Array(modulus);
  for (let n = 0; n < modulus; n++) squares[(n * n) % modulus] = 1;
  return { modulus, squares };
});
const sieveProduct = sieves.reduce((product, { modulus }) => product * BigInt(modulus), 1n);

export type ModulusWeakness = 'small-factor' | 'close-primes';

/** Null when neither method finds a factor. A few milliseconds for 2048 bits. */
export function weaknessOfModulus(modulus: bigint): ModulusWeakness | null {
  if (greatestCommonDivisor(modulus % smallPrimesProduct, smallPrimesProduct) !== 1n) return 'small-factor';
  return hasClosePrimes(modulus) ? 'close-primes' : null;
}

/** n = a² - b² for an a just above its root, where p = a + b and q = a - b: Fermat, 1643; CVE-2022-26320 in our days. */
function hasClosePrimes(modulus: bigint): boolean {
  let a = squareRoot(modulus);
  if (a * a === modulus) return true;
  a += 1n;
  let difference = a * a - modulus;
  for (let round = 0; round < fermatRounds; round++) {
    if (isSquare(difference)) return true;
    difference += 2n * a + 1n;
    a += 1n;
  }
  return false;
}

function isSquare(n: bigint): boolean {
  const rest = n % sieveProduct;
  for (const { modulus, squares } of sieves) if (!squares[Number(rest % BigInt(modulus))]) return false;
  const root = squareRoot(n);
  return root * root === n;
}

/** The greatest integer whose square is not above n, by Newton's method. */
function squareRoot(n: bigint): bigint {
  if (n < 2n) return n;
  let root = 1n << BigInt((n.toString(16).length * 4) / 2 + 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

function primesBelow(limit: number): bigint[] {
  const primes: number[] = [];
  for (let n = 2; n < limit; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes.map(BigInt);
}
