// What pages cannot do without: passkeys, printing, and the focus on what went wrong. Everything else works without.
"use strict";

function toBytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function toText(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function prepared(asked) {
  const options = asked.publicKey;
  options.challenge = toBytes(options.challenge);
  if (options.user) options.user.id = toBytes(options.user.id);
  for (const list of [options.allowCredentials, options.excludeCredentials]) {
    for (const known of list || []) known.id = toBytes(known.id);
  }
  return options;
}

function answered(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature"]) {
    if (credential.response[name]) response[name] = toText(credential.response[name]);
  }
  return JSON.stringify({ rawId: toText(credential.rawId), type: credential.type, response });
}

for (const form of document.querySelectorAll("[data-passkey]")) {
  form.querySelector("[data-passkey-go]").addEventListener("click", async (event) => {
    const failed = form.querySelector("[data-passkey-failed]");
    event.target.disabled = true;
    failed.hidden = true;
    try {
      const publicKey = prepared(JSON.parse(form.dataset.options));
      const credential = await navigator.credentials[form.dataset.passkey]({ publicKey });
      form.elements.passkey.value = answered(credential);
      form.submit();
    } catch {
      failed.hidden = false;
      event.target.disabled = false;
    }
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => window.print());
}

const wrong = document.querySelector("[data-focus]");
if (wrong) wrong.focus();
