/** Asks another CA for the certificate of a key of ours: PKCS #10 (RFC 2986). */
import { bitString, context, der, integerOf, oid, sequence, setOfOne } from './der-writer.ts';
import * as extensions from './extensions.ts';
import { keyIdOf } from './issuer-identity.ts';
import { encodeName, type NameAttribute } from './name.ts';
import type { Signer } from './signer.ts';

/** Attribute under which a request carries extensions (RFC 2985, section 5.4.2). */
const extensionRequest = oid('1.2.840.113549.1.9.14');

/** A request in DER for an issuing CA: it may sign leaves and CRLs, and no CA below it. Faults as the signer does. */
export async function makeCaRequest(subject: readonly NameAttribute[], signer: Signer): Promise<Buffer> {
  const publicKey = signer.publicKey.export({ type: 'spki', format: 'der' });
  const wanted = sequence(
    extensions.basicConstraints(true, 0),
    extensions.keyUsage(['keyCertSign', 'cRLSign']),
    extensions.subjectKeyId(keyIdOf(publicKey)),
  );
  const toBeSigned = sequence(
    integerOf(0n),
    encodeName(subject),
    publicKey,
    der(context(0), sequence(extensionRequest, setOfOne(wanted))),
  );
  return sequence(toBeSigned, signer.algorithm.der, bitString(await signer.sign(toBeSigned)));
}
