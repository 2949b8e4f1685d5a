/** A certificate in words, for a person who looks for why it was refused. Nothing is ever decided on these. */
import { timestamp } from '#common/clock.ts';
import type { Leaf } from '#common/contract/decision.ts';
import { Fault } from '#common/fault.ts';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import type { GeneralName } from '#common/x509/general-name.ts';
import { nameForPeople } from '#common/x509/name.ts';

/** Names that are told of one certificate; there may be thousands in it. */
const mostNames = 20;

/** What is written in it, or why and where it cannot be read. Never throws. */
export function leafFacts(der: Buffer): { leaf: Leaf | null; problem: string | null } {
  try {
    return { leaf: factsOf(readCertificate(der)), problem: null };
  } catch (thrown) {
    return { leaf: null, problem: Fault.of(thrown).message };
  }
}

function factsOf({ subject, issuer, serialNumber, notBeforeMs, notAfterMs, extensions }: Certificate): Leaf {
  const names = extensions.subjectAltName?.names ?? [];
  const told = names.slice(0, mostNames).map(wordsOf);
  if (names.length > mostNames) told.push(`and ${names.length - mostNames} more`);
  return {
    subject: nameForPeople(subject),
    issuer: nameForPeople(issuer),
    serialNumber,
    notBefore: timestamp(notBeforeMs),
    notAfter: timestamp(notAfterMs),
    names: told,
  };
}

function wordsOf(name: GeneralName): string {
  switch (name.type) {
    case 'ip':
      return `IP:${name.value.length === 4 ? name.value.join('.') : name.value.toString('hex')}`;
    case 'directoryName':
      return `DirName:${nameForPeople(name.value)}`;
    case 'otherName':
      return `otherName:${name.typeId}`;
    case 'obsolete':
      return 'a name of a kind that nobody uses';
    default:
      return `${name.type === 'registeredId' ? 'RID' : name.type.toUpperCase()}:${name.value.slice(0, 200)}`;
  }
}
