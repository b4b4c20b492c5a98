// The numbers are asked for at the address that the page names. Until they are there, its table is all there is.

const data = await (async () => {
  const say = (text) => Object.assign(document.getElementById("state"), { hidden: !text, textContent: text });
  // What comes at once needs no words.
  const slow = setTimeout(() => say("The profile is being read …"), 300);
  try {
    const answer = await fetch(document.getElementById("flame").dataset.from);
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const numbers = await answer.json();
    clearTimeout(slow);
    say("");
    return numbers;
  } catch (error) {
    clearTimeout(slow);
    say(`The picture cannot be drawn: ${error.message}. The table is whole.`);
    throw error;
  }
})();
