// A button beside each text that is there to be copied.

import { element } from "./page";

/** How long a button says that it has copied, in milliseconds. */
const SAID = 2000;

/** Puts a button before a text. */
export function copy(text: HTMLElement): void {
  const button = element("button", { type: "button", className: "copy-button", textContent: "Copy" });
  const say = (word: string) => {
    button.textContent = word;
    window.setTimeout(() => (button.textContent = "Copy"), SAID);
  };
  button.addEventListener("click", () => {
    // There is no clipboard without TLS, but on this machine.
    const written = navigator.clipboard?.writeText(text.textContent ?? "") ?? Promise.reject(new Error("no clipboard"));
    written.then(() => say("Copied"), () => getSelection()?.selectAllChildren(text));
  });
  text.before(button);
}
