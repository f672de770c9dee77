"use strict";
document.documentElement.classList.add("scripted");
const said = document.getElementById("said");
async function copy(text, block) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard for this page: select the text, so that the keyboard's copy works.
    getSelection().selectAllChildren(block);
    return false;
  }
}
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const block = button.parentElement.querySelector("pre");
    const done = await copy(block.textContent, block);
    button.textContent = done ? "Copied" : "Selected";
    said.textContent = done ? "Copied to the clipboard." : "Selected: copy it with the keyboard.";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
